import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from fdkd_lightning.losses.hint import HintLoss
from fdkd_lightning.types import Output

# Height and width of the student's and the teacher's map, and what they ask for: whether the
# convolution is transposed, kernel, stride and padding.
SIZES = [
    ((8, 8), (4, 4), (False, (3, 3), (2, 2), (1, 1))),
    ((4, 4), (8, 8), (True, (4, 4), (2, 2), (1, 1))),
    ((5, 5), (5, 5), (False, (1, 1), (1, 1), (0, 0))),
    ((7, 6), (5, 2), (False, (3, 5), (1, 1), (0, 0))),
    ((8, 5), (4, 5), (False, (3, 1), (2, 1), (1, 0))),
    ((7, 8), (2, 4), (False, (6, 3), (1, 2), (0, 1))),
    ((3, 5), (6, 5), (True, (4, 1), (2, 1), (1, 0))),
    ((7, 3), (4, 6), (True, (4, 4), (1, 2), (3, 1))),
    ((2, 2), (1, 1), (False, (3, 3), (2, 2), (1, 1))),
    ((1, 1), (2, 2), (True, (4, 4), (2, 2), (1, 1))),
]


def output(shape: tuple[int, ...], seed: int = 0) -> Output:
    generator = torch.Generator().manual_seed(seed)
    stage = torch.randn(*shape, dtype=torch.float64, generator=generator)
    return Output(torch.zeros(shape[0], 8), torch.zeros(shape[0], 3), (stage,))


def convolved(x: np.ndarray, layer: nn.Module, size: tuple[int, ...]) -> np.ndarray:
    """The convolution, plain or transposed, as a sum over input, output and kernel positions."""
    weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
    transposed = isinstance(layer, nn.ConvTranspose2d)
    result = np.zeros((len(x), len(bias), *size)) + bias[:, None, None]
    for i, j in np.ndindex(*size):
        for a, b in np.ndindex(*weight.shape[2:]):
            for y, z in np.ndindex(*x.shape[2:]):
                (near, far) = ((y, z), (i, j)) if transposed else ((i, j), (y, z))
                if all(
                    f == n * stride - padding + k
                    for f, n, stride, padding, k in zip(
                        far, near, layer.stride, layer.padding, (a, b), strict=True
                    )
                ):
                    kernel = weight[:, :, a, b] if transposed else weight[:, :, a, b].T
                    result[:, :, i, j] += x[:, :, y, z] @ kernel
    return result


def by_hand(loss: HintLoss, student: np.ndarray, teacher: np.ndarray) -> float:
    """Mean squared error after convolution, BatchNorm over batch and space, and ReLU."""
    assert loss.regressor is not None
    layer, norm, _ = loss.regressor
    found = convolved(student, layer, teacher.shape[2:])
    errors = []
    for c in range(teacher.shape[1]):
        values = found[:, c]
        values = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
        values = values * norm.weight[c].item() + norm.bias[c].item()
        errors.append((np.maximum(values, 0) - teacher[:, c]) ** 2)
    return float(np.mean(errors))


@pytest.mark.parametrize(("student_size", "teacher_size", "kind"), SIZES)
def test_the_student_is_convolved_normalised_and_rectified(
    student_size: tuple[int, int], teacher_size: tuple[int, int], kind: tuple
) -> None:
    torch.manual_seed(0)
    student, teacher = output((3, 2, *student_size)), output((3, 4, *teacher_size), 1)
    for loss, weight in ((HintLoss(stage=0), 100), (HintLoss(stage=0, weight=0.5), 0.5)):
        loss.build(student, teacher)
        assert loss.regressor is not None
        layer, norm, relu = loss.regressor.double()
        for parameter in norm.parameters():
            nn.init.normal_(parameter)
        assert isinstance(relu, nn.ReLU)
        assert kind == (
            isinstance(layer, nn.ConvTranspose2d),
            layer.kernel_size,
            layer.stride,
            layer.padding,
        )
        term = loss(student, teacher, torch.zeros(3))["hint"]
        expected = by_hand(loss, student.maps[0].numpy(), teacher.maps[0].numpy())
        assert term.item() == pytest.approx(weight * expected, rel=1e-10)


def test_a_value_worked_out_by_hand() -> None:
    # 2 x + 1 makes 3 and -5 of 1 and -3, the ReLU 3 and 0, (3 - 1)^2 and (0 - 2)^2 a mean of 4.
    student, teacher = (
        Output(torch.zeros(2, 8), torch.zeros(2, 3), (torch.tensor(x).view(2, 1, 1, 1),))
        for x in ([1.0, -3.0], [1.0, 2.0])
    )
    loss = HintLoss(stage=0)
    loss.build(student, teacher)
    assert loss.regressor is not None
    layer, norm, _ = loss.eval().regressor
    nn.init.constant_(layer.weight, 2)
    nn.init.constant_(layer.bias, 1)
    norm.eps = 0
    assert loss(student, teacher, torch.zeros(2))["hint"].item() == 400


@pytest.mark.parametrize(
    ("student_size", "teacher_size"),
    [((4, 4), (5, 5)), ((4, 4), (9, 9)), ((8, 4), (4, 5)), ((8, 4), (4, 8))],
)
def test_sizes_that_no_convolution_joins_are_an_error(
    student_size: tuple[int, int], teacher_size: tuple[int, int]
) -> None:
    sizes = (re.escape(str([*size])) for size in (student_size, teacher_size))
    message = "size {} to the teacher's {}.*`stage`".format(*sizes)
    with pytest.raises(ValueError, match=message):
        HintLoss(stage=0).build(output((2, 3, *student_size)), output((2, 3, *teacher_size)))


def test_the_default_is_the_second_stage(pair: Callable[..., tuple]) -> None:
    student, teacher, target = pair()
    torch.manual_seed(0)
    default, second = HintLoss(), HintLoss(stage=0)
    default.build(student, teacher)
    alone = [o._replace(maps=o.maps[1:2]) for o in (student, teacher)]
    second.build(*alone)
    second.load_state_dict(default.state_dict())
    assert torch.equal(default(student, teacher, target)["hint"], second(*alone, target)["hint"])


def test_a_checkpoint_of_the_same_shapes_brings_the_weights_back(
    pair: Callable[..., tuple],
) -> None:
    student, teacher, target = pair()
    trained, loaded = HintLoss(), HintLoss()
    trained.build(student, teacher)
    trained(student, teacher, target)
    loaded.build(
        *(o._replace(maps=tuple(x.to("meta") for x in o.maps)) for o in (student, teacher))
    )
    loaded.load_state_dict(trained.state_dict())
    terms = (loss.eval()(student, teacher, target)["hint"] for loss in (trained, loaded))
    assert torch.equal(*terms)


def test_a_second_build_leaves_the_weights(pair: Callable[..., tuple]) -> None:
    student, teacher, _ = pair()
    loss = HintLoss()
    loss.build(student, teacher)
    before = list(loss.parameters())
    loss.build(student, teacher)
    assert len(before) == 4
    assert all(a is b for a, b in zip(before, loss.parameters(), strict=True))


def test_only_student_and_regressor_learn(pair: Callable[..., tuple]) -> None:
    student, teacher, target = pair()
    loss = HintLoss()
    loss.build(student, teacher)
    loss(student, teacher, target)["hint"].backward()
    assert all(x.grad is None for x in teacher.maps)
    assert all(x.grad is not None for x in (student.maps[1], *loss.parameters()))


def test_dense_outputs_have_the_same_maps(pair: Callable[..., tuple]) -> None:
    student, teacher, target = pair()
    loss = HintLoss()
    loss.build(student, teacher)
    dense = (o._replace(logits=torch.zeros(4, 3, 2, 3)) for o in (student, teacher))
    term = loss(*dense, torch.zeros(4, 2, 3))["hint"]
    assert torch.equal(term, loss(student, teacher, target)["hint"])


def test_batch_norm_over_one_value_is_an_error_in_training_alone() -> None:
    student, teacher = output((1, 3, 2, 2)), output((1, 4, 1, 1))
    loss = HintLoss(stage=0)
    loss.build(student, teacher)
    loss.double()
    with pytest.raises(ValueError, match=r"a batch of 1, and needs at least 2: BatchNorm"):
        loss(student, teacher, torch.zeros(1))
    assert loss.eval()(student, teacher, torch.zeros(1))["hint"].isfinite()


def test_a_constant_map_costs_no_more_than_the_norm_s_epsilon() -> None:
    # BatchNorm divides by sqrt(0 + 1e-5), and multiplies a gradient by at most 317.
    student, teacher = output((4, 3, 4, 4)), output((4, 5, 4, 4), 1)
    flat = torch.full_like(student.maps[0], 0.3, requires_grad=True)
    loss = HintLoss(stage=0)
    loss.build(student, teacher)
    loss.double()(student._replace(maps=(flat,)), teacher, torch.zeros(4))["hint"].backward()
    assert flat.grad is not None
    assert loss.regressor is not None
    gain = 317 * torch.linalg.matrix_norm(loss.regressor[0].weight.flatten(1), 2)
    size = teacher.maps[0].numel()
    assert flat.grad.norm() <= 100 * gain * 2 * teacher.maps[0].norm() / size


def test_maps_of_another_size_than_built_for_are_an_error() -> None:
    loss = HintLoss(stage=0)
    loss.build(output((2, 3, 8, 8)), output((2, 4, 4, 4)))
    with pytest.raises(ValueError, match=r"\[2, 4, 5, 5\].*\[2, 4, 10, 10\].*another input size"):
        loss.double()(output((2, 3, 10, 10)), output((2, 4, 10, 10)), torch.zeros(2))


def test_what_is_missing_is_an_error(pair: Callable[..., tuple]) -> None:
    student, teacher, target = pair()
    with pytest.raises(RuntimeError, match="call build"):
        HintLoss()(student, teacher, target)
    with pytest.raises(ValueError, match="no term without a teacher"):
        HintLoss().build(student, None)
    with pytest.raises(ValueError, match="stage=4 is not among the 4 maps of the student"):
        HintLoss(stage=4).build(student, teacher)
    with pytest.raises(ValueError, match="stage=1 is not among the 0 maps of the teacher"):
        HintLoss().build(student, teacher._replace(maps=()))
