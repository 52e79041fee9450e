from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.freekd import FreeKDLoss
from fdkd_lightning.losses.freekd_prompts import freekd_prompts
from fdkd_lightning.types import Output


def of_maps(*maps: Tensor) -> Output:
    n = len(maps[0])
    return Output(torch.zeros(n, 2), torch.zeros(n, 3), maps)


def random_maps(*shapes: Sequence[int], seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in shapes]


def term(loss: FreeKDLoss, student: Tensor, teacher: Tensor) -> Tensor:
    outputs = of_maps(student), of_maps(teacher)
    return loss(*outputs, torch.zeros(len(student), dtype=torch.long))["freekd"]


def halved(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One level for one channel, by loops over blocks: [H', W'] and [3, H', W']."""
    height, width = ((size + 1) // 2 for size in image.shape)
    padded = np.zeros((2 * height, 2 * width))
    padded[: image.shape[0], : image.shape[1]] = image
    low, details = np.zeros((height, width)), np.zeros((3, height, width))
    for i in range(height):
        for j in range(width):
            (a, b), (c, d) = padded[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            low[i, j] = (a + b + c + d) / 2
            details[:, i, j] = (a + b - c - d) / 2, (a - b + c - d) / 2, (a - b - c + d) / 2
    return low, details


def by_hand(
    student: np.ndarray, teacher: np.ndarray, levels: int, prompts: np.ndarray | None
) -> float:
    """The formula by loops; the mean over tokens, samples, channels, orientations and pixels."""
    total = 0.0
    own, its = ([list(sample) for sample in x] for x in (student, teacher))
    for level in range(1, levels + 1):
        own_details, its_details = [], []
        for low, details in ((own, own_details), (its, its_details)):
            for n, sample in enumerate(low):
                bands = [halved(channel) for channel in sample]
                low[n] = [band[0] for band in bands]
                details.append(np.stack([band[1] for band in bands]))  # [C, 3, H, W]
        errors = []
        for s, t in zip(own_details, its_details, strict=True):
            channels, _, height, width = t.shape
            for i in range(height):
                for j in range(width):
                    vector = t[:, :, i, j].sum(1)
                    tokens = [None] if prompts is None else prompts[level]
                    for token in tokens:
                        mask = 1.0 if token is None else 1 / (1 + np.exp(-(token @ vector)))
                        errors += [
                            abs(mask * s[c, o, i, j] - mask * t[c, o, i, j])
                            for c in range(channels)
                            for o in range(3)
                        ]
        total += float(np.mean(errors))
    return total


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 1), (2, 12)])
@pytest.mark.parametrize("levels", [3, 1, 4])
@pytest.mark.parametrize("tokens", [None, 1, 6])
def test_the_loss_is_the_loops(size: tuple[int, int], levels: int, tokens: int | None) -> None:
    student, teacher = random_maps((2, 4, *size), (2, 4, *size))
    prompts = None if tokens is None else random_maps((levels + 1, tokens, 4), seed=1)[0]
    found = term(FreeKDLoss(levels=levels, prompts=prompts), student, teacher)
    arrays = (student.numpy(), teacher.numpy())
    expected = by_hand(*arrays, levels, None if prompts is None else prompts.numpy())
    assert found.item() == pytest.approx(expected, rel=1e-8)


def test_a_value_worked_out_by_hand() -> None:
    # The details of the difference are -5, -4, 3; those of the teacher 1, 0, 0, so that the prompt
    # log 3 gives the mask 3/4.
    teacher = torch.tensor([[[[0.5, 0.5], [-0.5, -0.5]]]], dtype=torch.float64)
    student = teacher + torch.tensor([[1.0, 2.0], [3.0, 10.0]])
    assert term(FreeKDLoss(levels=1), student, teacher).item() == pytest.approx(4, rel=1e-12)
    prompts = [[[7.0]], [[float(np.log(3))]]]
    masked = FreeKDLoss(levels=1, prompts=prompts, weight=2).double()
    assert term(masked, student, teacher).item() == pytest.approx(2 * 3 / 4 * 4, rel=1e-7)


def test_on_one_pixel_it_is_seven_eighths_of_the_error() -> None:
    student, teacher = random_maps((3, 4, 1, 1), (3, 4, 1, 1))
    expected = 7 / 8 * (student - teacher).abs().mean().item()
    assert term(FreeKDLoss(), student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_the_student_s_map_is_resized_to_the_teacher_s() -> None:
    teacher = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    student = torch.tensor([[1.0, 2.0, 5.0, 6.0]] * 4, dtype=torch.float64)[None, None]
    # Bilinear halving takes the centres of blocks: 1.5 and 5.5, half of their difference twice.
    found = term(FreeKDLoss(levels=1), student, teacher)
    assert found.item() == pytest.approx(abs(1.5 - 5.5) / 3, rel=1e-12)


def test_other_channels_get_a_convolution_once(
    pair: Callable[..., tuple[Output, Output, Tensor]],
) -> None:
    student, teacher, target = pair()
    loss = FreeKDLoss(stage=0)
    with pytest.raises(RuntimeError, match=r"from 3 to 4 channels.*build\(\)"):
        loss(student, teacher, target)
    loss.build(student, teacher)
    connector = loss.connector
    assert connector is not None
    assert connector.weight.shape == (4, 3, 1, 1)
    loss.build(student, teacher)
    assert loss.connector is connector
    expected = term(FreeKDLoss(), connector(student.maps[0]), teacher.maps[0])
    assert torch.equal(loss(student, teacher, target)["freekd"], expected)
    same = FreeKDLoss(stage=0)
    same.build(student, student)
    assert same.connector is None


def test_prompts_are_stored_and_not_trained() -> None:
    prompts = torch.randn(4, 2, 5)
    loss = FreeKDLoss(prompts=prompts.requires_grad_())
    assert list(loss.parameters()) == []
    other = FreeKDLoss(prompts=torch.zeros(4, 2, 5).tolist())
    other.load_state_dict(loss.state_dict())
    student, teacher = random_maps((2, 5, 8, 8), (2, 5, 8, 8))
    assert torch.equal(term(other, student, teacher), term(loss, student, teacher))


def test_gradients_with_masks() -> None:
    student, teacher, prompts = random_maps((2, 3, 4, 5), (2, 3, 4, 5), (4, 2, 3))
    loss = FreeKDLoss(prompts=prompts)
    teacher.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: term(loss, x, teacher.detach()), student.requires_grad_()
    )
    term(loss, student, teacher).backward()
    assert teacher.grad is None


def test_autocast_leaves_the_masks_in_float32() -> None:
    student, teacher, prompts = (
        x.float() for x in random_maps((2, 3, 8, 8), (2, 3, 8, 8), (4, 2, 3))
    )
    loss = FreeKDLoss(prompts=prompts)
    expected = term(loss, student, teacher)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(term(loss, student, teacher), expected)


@pytest.mark.parametrize("shape", [(3, 2, 4), (5, 2, 4), (4, 8)])
def test_prompts_must_fit_the_levels(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"prompts of shape .*levels=3.*\[4, T, C\]"):
        FreeKDLoss(prompts=torch.zeros(shape))


def test_prompts_must_fit_the_teacher() -> None:
    student, teacher = random_maps((2, 5, 8, 8), (2, 5, 8, 8))
    with pytest.raises(ValueError, match="prompts have 4 channels, the teacher's map 5"):
        term(FreeKDLoss(prompts=torch.zeros(4, 2, 4)), student, teacher)


def test_other_errors_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="levels=0 must be at least 1"):
        FreeKDLoss(levels=0)
    output = of_maps(torch.zeros(2, 3, 4, 4))
    with pytest.raises(ValueError, match="stage=1 is not among the 1 maps"):
        FreeKDLoss(stage=1).build(output, output)
    with pytest.raises(ValueError, match="no term without a teacher"):
        FreeKDLoss().build(output, None)


def test_the_loss_takes_what_the_function_gives() -> None:
    student, teacher = (x.float() for x in random_maps((2, 3, 8, 8), (2, 3, 8, 8)))
    prompts = freekd_prompts([teacher], levels=2, steps=3, progress=False)
    tensors, lists = (
        FreeKDLoss(levels=2, prompts=prompts),
        FreeKDLoss(levels=2, prompts=prompts.tolist()),
    )
    assert torch.equal(term(tensors, student, teacher), term(lists, student, teacher))
