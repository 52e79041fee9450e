from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest
import torch

from fdkd_lightning.losses.pkd import PKDLoss, pkd_loss
from fdkd_lightning.types import Output


def by_hand(student: np.ndarray, teacher: np.ndarray) -> float:
    """Channel by channel: (x - mean) / (sample deviation + 1e-6), and half the mean square."""
    squares = []
    for channel in range(student.shape[1]):
        standard = []
        for x in (student[:, channel].flatten(), teacher[:, channel].flatten()):
            mean = sum(x) / len(x)
            variance = sum((x - mean) ** 2) / (len(x) - 1)
            standard.append((x - mean) / (variance**0.5 + 1e-6))
        squares += [(s - t) ** 2 for s, t in zip(*standard, strict=True)]
    return sum(squares) / len(squares) / 2


def test_a_value_worked_out_by_hand() -> None:
    # Standardised (-1, 0, 1) against (1, 0, -1): (4 + 0 + 4) / 3 / 2, which is (1 - r) 2/3 at r=-1.
    student = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
    assert pkd_loss(student, -5 * student).item() == pytest.approx(4 / 3, rel=1e-5)


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e4])
@pytest.mark.parametrize("shape", [(5, 2), (2, 7), (1, 6, 2, 3), (3, 4, 5, 2), (8, 512)])
def test_statistics_run_over_samples_and_pixels_of_a_channel(
    shape: tuple[int, ...], scale: float
) -> None:
    # At 1e-7 the deviation is a tenth of epsilon: small, but no residue.
    student, teacher = scale * np.random.default_rng(0).normal(size=(2, *shape)) + 3 * scale
    expected = by_hand(student, teacher)
    double = [torch.from_numpy(x) for x in (student, teacher)]
    assert pkd_loss(*double).item() == pytest.approx(expected, abs=1e-8)
    single = [x.float() for x in double]
    assert pkd_loss(*single).item() == pytest.approx(expected, rel=1e-5)


def test_scale_and_offset_of_a_channel_do_not_count() -> None:
    student = torch.randn(6, 4, dtype=torch.float64)
    teacher = student * torch.tensor([1.0, 2.0, 30.0, 0.4]) + torch.arange(4)
    assert pkd_loss(student, teacher).item() == pytest.approx(0, abs=1e-10)
    assert pkd_loss(student, -student).item() > 1


def test_it_is_one_minus_the_correlation_but_for_the_sample_deviation() -> None:
    student, teacher = torch.randn(2, 9, 1, dtype=torch.float64)
    r = np.corrcoef(student.flatten(), teacher.flatten())[0, 1]
    assert pkd_loss(student, teacher).item() == pytest.approx((1 - r) * 8 / 9, rel=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 100.0])
@pytest.mark.parametrize("size", [(), (3, 3)])
def test_a_constant_channel_counts_as_zero_and_has_no_gradient(
    value: float, size: tuple[int, ...]
) -> None:
    student = torch.randn(4, 2, *size)
    student[:, 0] = value
    student.requires_grad_()
    teacher = torch.randn(4, 2, *size)
    loss = pkd_loss(student, teacher)
    (gradient,) = torch.autograd.grad(loss, student)
    assert not gradient[:, 0].count_nonzero()
    assert gradient[:, 1].count_nonzero()
    zero = torch.cat([torch.zeros_like(teacher[:, :1]), student[:, 1:].detach()], dim=1)
    assert loss.item() == pytest.approx(by_hand(zero.double().numpy(), teacher.double().numpy()))


def test_nearly_constant_features_keep_their_signal() -> None:
    student = (100 + torch.tensor([[0.0], [0.1], [0.3]])).requires_grad_()
    loss = pkd_loss(student, torch.tensor([[0.0], [1.0], [3.0]]))
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert pkd_loss(student, torch.tensor([[3.0], [1.0], [0.0]])).item() > 0.5


def test_the_default_weight_is_6_and_a_factor(pair: Callable[..., tuple]) -> None:
    student, teacher, target = pair()
    plain = pkd_loss(student.features, teacher.features)
    for loss, factor in ((PKDLoss(), 6.0), (PKDLoss(weight=0.5), 0.5)):
        assert torch.equal(loss(student, teacher, target)["pkd"], factor * plain)


def test_the_loss_has_no_state() -> None:
    assert PKDLoss().state_dict() == {}


@pytest.mark.parametrize("shape", [(1, 8), (1, 8, 1, 1)])
def test_one_value_per_channel_is_an_error(shape: tuple[int, ...]) -> None:
    output = Output(torch.ones(shape), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="PKDLoss got a batch of 1, and needs at least 2: each"):
        PKDLoss()(output, output, torch.tensor([0]))
    with pytest.raises(ValueError, match=r"\[1, 8.*fewer than 2 values per channel"):
        pkd_loss(torch.ones(shape), torch.ones(shape))


@pytest.mark.parametrize("other", [(2, 9), (3, 8), (2, 8, 1, 1)])
def test_other_shapes_are_an_error_that_names_the_projector(other: tuple[int, ...]) -> None:
    student, teacher = (Output(torch.ones(s), torch.zeros(2, 3)) for s in ((2, 8), other))
    message = rf"\[2, 8\].*\[{', '.join(map(str, other))}\].*`projector`"
    with pytest.raises(ValueError, match=message):
        PKDLoss()(student, teacher, torch.tensor([0, 1]))


@pytest.mark.parametrize("resize", ["student", "teacher"])
def test_the_network_that_is_named_is_resized(resize: Literal["student", "teacher"]) -> None:
    student, teacher = torch.randn(2, 3, 8, 6), torch.randn(2, 3, 4, 4)
    small, large = student, teacher
    if resize == "student":
        small = torch.nn.functional.interpolate(student, (4, 4), mode="bilinear")
    else:
        large = torch.nn.functional.interpolate(teacher, (8, 6), mode="bilinear")
    expected = pkd_loss(small, large)
    assert torch.equal(pkd_loss(student, teacher, resize), expected)
    outputs = (Output(x, torch.zeros(2, 3)) for x in (student, teacher))
    terms = PKDLoss(weight=1.0, resize=resize)(*outputs, torch.tensor([0, 1]))
    assert torch.equal(terms["pkd"], expected)
    with pytest.raises(ValueError, match="`projector`"):
        pkd_loss(student, teacher)
