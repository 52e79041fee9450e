from collections.abc import Callable

import numpy as np
import pytest
import torch

from fdkd_lightning.losses.sp import SPLoss, sp_loss
from fdkd_lightning.types import Output


def by_hand(student: np.ndarray, teacher: np.ndarray) -> float:
    """Row by row of the two matrices of inner products."""
    n = len(student)
    total = 0.0
    for i in range(n):
        rows = []
        for x in (student, teacher):
            row = np.array([sum(x[i].flatten() * x[j].flatten()) for j in range(n)])
            rows.append(row / sum(row**2) ** 0.5)
        total += sum((rows[1] - rows[0]) ** 2)
    return total / n**2


def test_a_value_worked_out_by_hand() -> None:
    # (1, 0) and (0, 1) against twice the same vector: rows (1, 0) and (0, 1) against
    # (1, 1) / sqrt(2), each (1 - 1/sqrt(2))^2 + 1/2 = 2 - sqrt(2) apart, over 2^2.
    student = torch.eye(2, dtype=torch.float64)
    teacher = torch.full((2, 3, 1, 1), 7.0, dtype=torch.float64)
    assert sp_loss(student, teacher).item() == pytest.approx((2 - 2**0.5) / 2, abs=1e-14)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ((4, 3, 2, 2), (4, 3, 2, 2)),
        ((5, 3, 2, 2), (5, 6, 4, 3)),
        ((2, 3, 1, 1), (2, 1, 1, 5)),
        ((6, 512), (6, 64, 2, 2)),
    ],
)
def test_maps_of_every_size_are_compared(
    student: tuple[int, ...], teacher: tuple[int, ...]
) -> None:
    generator = np.random.default_rng(0)
    student_map, teacher_map = generator.normal(size=student), generator.normal(size=teacher)
    expected = by_hand(student_map, teacher_map)
    double = [torch.from_numpy(x) for x in (student_map, teacher_map)]
    assert sp_loss(*double).item() == pytest.approx(expected, abs=1e-8)
    assert sp_loss(*(x.float() for x in double)).item() == pytest.approx(expected, rel=1e-5)


def test_the_last_stage_and_the_weight_of_3000_are_the_default(
    pair: Callable[..., tuple],
) -> None:
    student, teacher, target = pair(dtype=torch.float64)
    for loss, stage, weight in ((SPLoss(), 3, 3000), (SPLoss(stage=1, weight=0.5), 1, 0.5)):
        student_map, teacher_map = (
            output.maps[stage].detach().numpy() for output in (student, teacher)
        )
        expected = weight * by_hand(student_map, teacher_map)
        assert loss(student, teacher, target)["sp"].item() == pytest.approx(expected, abs=1e-8)


def test_turning_and_scaling_all_samples_alike_does_not_count() -> None:
    student = torch.randn(4, 6, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q
    assert sp_loss(student, 9 * student @ rotation).item() == pytest.approx(0, abs=1e-20)


def test_one_sample_is_as_similar_to_itself_in_both() -> None:
    student = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = sp_loss(student, torch.randn(1, 5, 4, 4))
    (gradient,) = torch.autograd.grad(3000 * loss, student)
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert gradient.norm() < 1e-3


def test_a_silent_sample_has_no_gradient() -> None:
    student = torch.randn(4, 3, 2, 2)
    student[1] = 0
    student.requires_grad_()
    loss = sp_loss(student, torch.randn(4, 3, 2, 2))
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert gradient.norm() < 10
    zero = torch.zeros(4, 3, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(sp_loss(zero, torch.randn(4, 3, 2, 2)), zero)
    assert not gradient.count_nonzero()


def test_autocast_does_not_round_the_similarities() -> None:
    student, teacher = torch.randn(4, 3, 2, 2), torch.randn(4, 5, 2, 2)
    expected = sp_loss(student, teacher)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sp_loss(student, teacher), expected)


def test_the_loss_has_no_state() -> None:
    assert SPLoss().state_dict() == {}


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_a_stage_that_is_missing_is_an_error(role: str) -> None:
    outputs = {
        name: Output(torch.ones(2, 8), torch.zeros(2, 3), (torch.ones(2, 8, 4, 4),) * n)
        for name, n in (("student", 1 if role == "student" else 3), ("teacher", 2))
    }
    stage = 1 if role == "student" else 2
    with pytest.raises(ValueError, match=f"stage={stage} is not among.*maps of the {role}'s"):
        SPLoss(stage)(outputs["student"], outputs["teacher"], torch.tensor([0, 1]))
