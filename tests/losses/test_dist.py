from collections.abc import Callable

import numpy as np
import pytest
import torch

from fdkd_lightning.losses.dist import DISTLoss, dist_loss
from fdkd_lightning.types import Output


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - sum(a) / len(a), b - sum(b) / len(b)
    return sum(a * b) / (np.sqrt(sum(a * a)) * np.sqrt(sum(b * b)) + 1e-8)


def by_hand(student: np.ndarray, teacher: np.ndarray, tau: float) -> tuple[float, float]:
    """Tau^2 times one minus the mean correlation of rows, and of columns."""
    p_student, p_teacher = (
        np.stack([softmax(row / tau) for row in logits]) for logits in (student, teacher)
    )
    inter = [pearson(s, t) for s, t in zip(p_student, p_teacher, strict=True)]
    intra = [pearson(s, t) for s, t in zip(p_student.T, p_teacher.T, strict=True)]
    return tuple(tau**2 * (1 - sum(found) / len(found)) for found in (inter, intra))


def logarithms(shares: list[list[float]]) -> torch.Tensor:
    return torch.tensor(shares, dtype=torch.float64).log()


def test_a_value_worked_out_by_hand() -> None:
    # Centred, in twelfths: the student has (2, -1, -1) and (-2, 1, 1), the teacher (1, -2, 1) and
    # (1, -2, 1). Samples correlate by 3/6 and -3/6. Classes: none of the teacher's varies.
    student, teacher = logarithms([[6, 3, 3], [2, 5, 5]]), logarithms([[5, 2, 5], [5, 2, 5]])
    inter, intra = dist_loss(student, teacher)
    assert inter.item() == pytest.approx(1, abs=1e-6)
    assert intra.item() == 1
    # With a second sample (6, 3, 3) of the teacher's its classes vary by (-, -, +) from the first
    # to the second, the student's by (-, +, +): two of three agree.
    teacher = logarithms([[7, 4, 1], [6, 3, 3]])
    _, intra = dist_loss(student, teacher)
    assert intra.item() == pytest.approx(1 - 1 / 3, abs=1e-5)


@pytest.mark.parametrize("tau", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("shape", [(5, 3), (3, 7), (2, 6, 2, 3), (3, 512)])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-8), (torch.float32, 1e-4)])
def test_correlations_run_over_classes_and_over_samples_and_pixels(
    shape: tuple[int, ...], dtype: torch.dtype, error: float, tau: float
) -> None:
    student, teacher = np.random.default_rng(0).normal(size=(2, *shape))
    rows = (np.moveaxis(x, 1, -1).reshape(-1, shape[1]) for x in (student, teacher))
    tensors = (torch.from_numpy(x).to(dtype) for x in (student, teacher))
    found = [x.item() for x in dist_loss(*tensors, tau)]
    assert found == pytest.approx(by_hand(*rows, tau), rel=error)


def test_the_defaults_are_those_of_imagenet(pair: Callable[..., tuple]) -> None:
    student, teacher, target = pair(k=5, dtype=torch.float64)
    logits = [output.logits.detach().numpy() for output in (student, teacher)]
    for loss, tau, weights in (
        (DISTLoss(), 1.0, (2, 2)),
        (DISTLoss(beta=3, gamma=0.5, temperature=4, weight=10), 4.0, (30, 5)),
    ):
        terms = loss(student, teacher, target)
        for name, weight, value in zip(
            ("inter", "intra"), weights, by_hand(*logits, tau), strict=True
        ):
            assert terms[name].item() == pytest.approx(weight * value, rel=1e-8)


def test_the_order_of_pixels_is_no_matter(pair: Callable[..., tuple]) -> None:
    student, teacher, _ = pair(size=(3, 5), dtype=torch.float64)
    found, turned = (
        [x.item() for x in dist_loss(s, t)]
        for s, t in (
            (student.logits, teacher.logits),
            (student.logits.transpose(2, 3), teacher.logits.transpose(2, 3)),
        )
    )
    assert found == pytest.approx(turned, rel=1e-12)


def test_predictions_that_grow_alike_have_no_distance() -> None:
    # The teacher's probabilities are 1/2 of the student's plus 1/6, throughout.
    generator = torch.Generator().manual_seed(0)
    student = torch.rand(6, 3, dtype=torch.float64, generator=generator).softmax(1)
    teacher = student / 2 + 1 / 6
    assert [x.item() for x in dist_loss(student.log(), teacher.log())] == pytest.approx(
        [0, 0], abs=1e-4
    )


def test_opposite_predictions_are_two_apart() -> None:
    student = 1 / 3 + torch.tensor([[0.1, -0.1, 0], [0, 0.2, -0.2]], dtype=torch.float64)
    opposite = 2 / 3 - student
    inter, intra = dist_loss(student.log(), opposite.log())
    assert [inter.item(), intra.item()] == pytest.approx([2, 2], abs=1e-4)


@pytest.mark.parametrize("size", [(), (1, 1)])
def test_a_batch_of_one_has_nothing_to_correlate_within_classes(
    pair: Callable[..., tuple], size: tuple[int, ...]
) -> None:
    student, teacher, target = pair(n=1, size=size)
    terms = DISTLoss(gamma=3, temperature=2, weight=1)(student, teacher, target)
    assert terms["intra"].item() == 3 * 2**2
    (gradient,) = torch.autograd.grad(terms["intra"], student.logits, retain_graph=True)
    assert not gradient.count_nonzero()
    (gradient,) = torch.autograd.grad(terms["inter"], student.logits)
    assert gradient.count_nonzero()


@pytest.mark.parametrize("k", [2, 3, 7, 1000])
@pytest.mark.parametrize("whose", ["student", "teacher", "both"])
def test_uniform_predictions_correlate_with_nothing_and_have_no_gradient(
    k: int, whose: str
) -> None:
    student, teacher = torch.randn(2, 4, k)
    student = torch.full((4, k), 0.7) if whose != "teacher" else student
    teacher = torch.full((4, k), -0.3) if whose != "student" else teacher
    student.requires_grad_()
    inter, intra = dist_loss(student, teacher)
    assert [inter.item(), intra.item()] == [1, 1]
    (gradient,) = torch.autograd.grad(inter + intra, student)
    assert not gradient.count_nonzero()


def test_a_constant_among_others_leaves_their_gradient() -> None:
    student, teacher = torch.randn(2, 4, 5)
    student[0] = 0
    student.requires_grad_()
    inter, _ = dist_loss(student, teacher)
    inter.backward()
    assert student.grad is not None
    assert not student.grad[0].count_nonzero()
    assert student.grad[1:].count_nonzero() == 15


def test_a_class_that_nobody_predicts_counts_for_nothing() -> None:
    # Its probabilities of some e^-20 vary by far less than the formula's epsilon allows for.
    student = torch.tensor([[2.0, 0.0, -20.0], [0.0, 1.0, -21.0], [1.0, 1.0, -18.0]])
    inter, intra = dist_loss(student, student)
    assert inter.item() == pytest.approx(0, abs=1e-6)
    assert intra.item() == pytest.approx(1 / 3, abs=1e-5)


def test_among_two_classes_only_intra_teaches() -> None:
    student = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]], dtype=torch.float64)
    teacher = torch.tensor([[1.0, 0.0], [4.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    student.requires_grad_()
    inter, intra = dist_loss(student, teacher)
    # Two samples agree, one does not: 1 - (1 + 1 - 1) / 3.
    assert inter.item() == pytest.approx(2 / 3, abs=1e-6)
    (gradient,) = torch.autograd.grad(inter, student, retain_graph=True)
    assert gradient.abs().max() < 1e-6
    (gradient,) = torch.autograd.grad(intra, student)
    assert gradient.abs().max() > 0.01


@pytest.mark.parametrize("size", [100.0, 1e4, 1e6])
def test_certain_predictions_stay_finite(size: float) -> None:
    certain = size * torch.eye(3)
    student = certain.clone().requires_grad_()
    for teacher in (certain.roll(1, 0), certain, torch.zeros(3, 3)):
        terms = dist_loss(student, teacher)
        assert all(term.isfinite() for term in terms)
        (gradient,) = torch.autograd.grad(sum(terms), student)
        assert gradient.isfinite().all()


def test_labels_do_not_matter(pair: Callable[..., tuple]) -> None:
    student, teacher, target = pair()
    loss = DISTLoss()
    assert loss(student, teacher, target) == loss(student, teacher, torch.full_like(target, -100))


def test_there_is_no_state_to_keep(pair: Callable[..., tuple]) -> None:
    loss, other = DISTLoss(), DISTLoss()
    assert loss.state_dict() == {}
    other.load_state_dict(loss.state_dict())
    assert other(*pair()) == loss(*pair())


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_a_temperature_not_above_0_is_an_error(temperature: float) -> None:
    with pytest.raises(ValueError, match=f"temperature={temperature} must be above 0"):
        DISTLoss(temperature=temperature)


def test_other_classes_are_an_error() -> None:
    student, teacher = (Output(torch.ones(2, 8), torch.zeros(2, k)) for k in (3, 4))
    with pytest.raises(ValueError, match=r"\[2, 3\].*\[2, 4\].*same classes"):
        DISTLoss()(student, teacher, torch.tensor([0, 1]))


def test_a_class_that_both_mask_adds_nothing() -> None:
    student, teacher = torch.randn(2, 6, 4).double().unbind()
    mask = torch.full((6, 1), -torch.inf).double()
    _, three = dist_loss(student, teacher)
    _, masked = dist_loss(torch.cat([student, mask], 1), torch.cat([teacher, mask], 1))
    assert masked.item() == pytest.approx(three.item() * 4 / 5)
    assert all(x.isfinite() for x in dist_loss(student, teacher.masked_fill(teacher > 1, -9e9)))


def test_no_samples_are_zero_with_a_gradient() -> None:
    student = torch.zeros(0, 3, requires_grad=True)
    inter, intra = dist_loss(student, torch.zeros(0, 3))
    (inter + intra).backward()
    assert (inter.item(), intra.item()) == (0, 0)
