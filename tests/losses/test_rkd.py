from collections.abc import Callable

import numpy as np
import pytest
import torch

from fdkd_lightning.losses.rkd import RKDLoss, rkd_loss
from fdkd_lightning.types import Output


def huber(x: float) -> float:
    return x * x / 2 if abs(x) < 1 else abs(x) - 0.5


def distances(x: np.ndarray) -> np.ndarray:
    """Between all samples, at least 1e-6 between two, relative to the mean of the positive."""
    n = len(x)
    found = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                found[i, j] = max(sum((x[i] - x[j]) ** 2), 1e-12) ** 0.5
    positive = found[found > 0]
    return found / (sum(positive) / len(positive))


def cosine(x: np.ndarray, i: int, j: int, k: int) -> float:
    """Of the angle at sample i between j and k; 0 where there is no angle."""
    a, b = x[j] - x[i], x[k] - x[i]
    lengths = sum(a * a) ** 0.5 * sum(b * b) ** 0.5
    return sum(a * b) / lengths if lengths else 0.0


def by_hand(student: np.ndarray, teacher: np.ndarray) -> tuple[float, float]:
    """Means over all pairs and all triplets, the degenerate ones included."""
    s, t = (x.reshape(len(x), -1) for x in (student, teacher))
    n = range(len(s))
    d_student, d_teacher = distances(s), distances(t)
    pairs = [huber(d_student[i, j] - d_teacher[i, j]) for i in n for j in n]
    triplets = [huber(cosine(s, i, j, k) - cosine(t, i, j, k)) for i in n for j in n for k in n]
    return sum(pairs) / len(pairs), sum(triplets) / len(triplets)


def test_a_value_worked_out_by_hand() -> None:
    # The corners of a right triangle with sides 3, 4, 5 (mean 4) against one with equal sides.
    # Distances: 2 ((3/4 - 1)^2 + 0 + (5/4 - 1)^2) / 2 / 3^2.
    # Cosines 0, 3/5, 4/5 against 1/2: 2 (1/4 + 1/100 + 9/100) / 2 / 3^3.
    student = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    teacher = torch.eye(3, dtype=torch.float64)
    distance, angle = rkd_loss(student, teacher)
    assert distance.item() == pytest.approx(1 / 8 / 9, abs=1e-14)
    assert angle.item() == pytest.approx(0.35 / 27, abs=1e-14)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((4, 3), (4, 3)), ((3, 2), (3, 7)), ((5, 4, 2, 3), (5, 6, 3, 1)), ((2, 4), (2, 4))],
)
def test_distances_and_angles_of_every_width_are_compared(
    student: tuple[int, ...], teacher: tuple[int, ...]
) -> None:
    generator = np.random.default_rng(0)
    # Cubes, so that some distances differ by more than the Huber loss's 1.
    x_student, x_teacher = generator.normal(size=student) ** 3, generator.normal(size=teacher)
    expected = by_hand(x_student, x_teacher)
    double = [torch.from_numpy(x) for x in (x_student, x_teacher)]
    assert [x.item() for x in rkd_loss(*double)] == pytest.approx(expected, abs=1e-8)
    single = [x.float() for x in double]
    assert [x.item() for x in rkd_loss(*single)] == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_the_default_weights_are_25_and_50(pair: Callable[..., tuple]) -> None:
    for size in ((), (2, 3)):
        student, teacher, target = pair(size=size, dtype=torch.float64)
        distance, angle = by_hand(
            student.features.detach().numpy(), teacher.features.detach().numpy()
        )
        for loss, weights in ((RKDLoss(), (25, 50)), (RKDLoss(1, 0.5), (1, 0.5))):
            terms = loss(student, teacher, target)
            assert terms["distance"].item() == pytest.approx(weights[0] * distance, abs=1e-8)
            assert terms["angle"].item() == pytest.approx(weights[1] * angle, abs=1e-8)


def test_moving_turning_and_scaling_all_samples_alike_does_not_count() -> None:
    student = torch.randn(5, 6, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q
    for term in rkd_loss(student, 9 * student @ rotation + 3):
        assert term.item() == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_samples_have_nothing_to_compare(n: int) -> None:
    student = torch.randn(n, 6, requires_grad=True)
    distance, angle = rkd_loss(student, torch.randn(n, 9))
    (gradient,) = torch.autograd.grad(25 * distance + 50 * angle, student)
    assert distance.item() == 0
    assert angle.item() == pytest.approx(0, abs=1e-12)
    assert gradient.norm() < 1e-5


def test_two_equal_samples_follow_the_official_value_with_finite_gradients() -> None:
    student = torch.randn(4, 6, dtype=torch.float64)
    student[1] = student[0]
    teacher = torch.randn(4, 6, dtype=torch.float64)
    for trained, fixed in ((student, teacher), (teacher, student)):
        x = trained.clone().requires_grad_()
        terms = rkd_loss(x, fixed)
        expected = by_hand(trained.numpy(), fixed.numpy())
        assert [term.item() for term in terms] == pytest.approx(expected, abs=1e-8)
        (gradient,) = torch.autograd.grad(sum(terms), x)
        assert gradient.isfinite().all()
        assert gradient.norm() < 10


@pytest.mark.parametrize("value", [0.0, 0.1, 100.0])
def test_constant_features_have_equal_distances_and_no_gradient(value: float) -> None:
    student = torch.full((4, 512), value, requires_grad=True)
    teacher = torch.randn(4, 512)
    terms = rkd_loss(student, teacher)
    (gradient,) = torch.autograd.grad(sum(terms), student)
    assert not gradient.count_nonzero()
    expected = by_hand(np.zeros((4, 512)), teacher.double().numpy())
    assert [term.item() for term in terms] == pytest.approx(expected, rel=1e-4)


def test_distances_survive_an_offset() -> None:
    # From inner products, as in the official code, the distance term is some ten times too large.
    student, teacher = torch.randn(2, 4, 512, dtype=torch.float64)
    moved = (student / 10 + 100).float()
    expected = by_hand(moved.double().numpy(), teacher.numpy())
    found = [x.item() for x in rkd_loss(moved, teacher.float())]
    assert found == pytest.approx(expected, rel=1e-4)


def test_autocast_does_not_round_the_angles() -> None:
    student, teacher = torch.randn(4, 6), torch.randn(4, 5)
    expected = rkd_loss(student, teacher)
    with torch.autocast("cpu", torch.bfloat16):
        found = rkd_loss(student, teacher)
    assert [x.item() for x in found] == [x.item() for x in expected]


def test_the_loss_has_no_state() -> None:
    assert RKDLoss().state_dict() == {}


def test_no_teacher_is_an_error() -> None:
    output = Output(torch.ones(2, 8), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="RKDLoss has no term without a teacher"):
        RKDLoss()(output, None, torch.tensor([0, 1]))


def test_squared_distances_are_those_of_the_official_code() -> None:
    def official(x: torch.Tensor) -> torch.Tensor:
        # pdist(squared=True), and RkdDistance.
        square = x.pow(2).sum(1)
        d = (square[:, None] + square[None] - 2 * x @ x.T).clamp(min=1e-12)
        d[range(len(x)), range(len(x))] = 0
        return d / d[d > 0].mean()

    student, teacher = torch.randn(5, 4).double(), torch.randn(5, 7).double()
    expected = torch.nn.functional.smooth_l1_loss(official(student), official(teacher))
    assert rkd_loss(student, teacher, squared=True)[0].item() == pytest.approx(expected.item())
    terms = RKDLoss(squared=True)(
        Output(student, student), Output(teacher, teacher), torch.zeros(5, dtype=torch.long)
    )
    assert terms["distance"].item() == pytest.approx(25 * expected.item())


def test_a_batch_of_one_is_not_compared_with_a_larger_one() -> None:
    with pytest.raises(ValueError, match=r"student has shape \[1, 4\], teacher \[3, 4\]"):
        rkd_loss(torch.randn(1, 4), torch.randn(3, 4))
