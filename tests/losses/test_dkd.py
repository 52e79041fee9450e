from collections.abc import Callable

import numpy as np
import pytest
import torch

from fdkd_lightning.losses.dkd import DKDLoss, dkd_loss
from fdkd_lightning.types import Output


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()


def kl(p: list[float], q: list[float]) -> float:
    return sum(a * np.log(a / b) for a, b in zip(p, q, strict=True))


def by_hand(
    student: np.ndarray, teacher: np.ndarray, target: np.ndarray, temperature: float
) -> tuple[float, float]:
    """T^2 times the means over rows of both divergences, the target left out of the second."""
    tckd, nckd = [], []
    for s, t, y in zip(student / temperature, teacher / temperature, target, strict=True):
        p, q = softmax(t)[y], softmax(s)[y]
        tckd.append(kl([p, 1 - p], [q, 1 - q]))
        nckd.append(kl(*(list(softmax(np.delete(row, y))) for row in (t, s))))
    return tuple(temperature**2 * sum(found) / len(found) for found in (tckd, nckd))


def test_a_value_worked_out_by_hand() -> None:
    # T=1: the teacher has (1/2, 3/8, 1/8), the student (1/4, 3/8, 3/8), and the target is the
    # first: (1/2, 1/2) against (1/4, 3/4), and among the others (3/4, 1/4) against (1/2, 1/2).
    teacher, student = (
        torch.tensor([shares], dtype=torch.float64).log() for shares in ([4, 3, 1], [2, 3, 3])
    )
    tckd, nckd = dkd_loss(student, teacher, torch.tensor([0]), temperature=1)
    assert tckd.item() == pytest.approx(np.log(2) / 2 + np.log(2 / 3) / 2, abs=1e-14)
    assert nckd.item() == pytest.approx(3 / 4 * np.log(3 / 2) + np.log(1 / 2) / 4, abs=1e-14)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("shape", [(5, 3), (3, 7), (2, 6, 2, 3), (3, 512)])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_the_means_run_over_samples_and_pixels(
    shape: tuple[int, ...], dtype: torch.dtype, error: float, temperature: float
) -> None:
    random = np.random.default_rng(0)
    student, teacher = random.normal(size=(2, *shape))
    target = random.integers(shape[1], size=(shape[0], *shape[2:]))
    rows = (np.moveaxis(x, 1, -1).reshape(-1, shape[1]) for x in (student, teacher))
    tensors = (torch.from_numpy(x).to(dtype) for x in (student, teacher))
    found = dkd_loss(*tensors, torch.from_numpy(target), temperature)
    expected = by_hand(*rows, target.flatten(), temperature)
    # Relative to 1, the size of the logarithms whose differences the terms are.
    assert [x.item() for x in found] == pytest.approx(expected, rel=error, abs=error)


def test_the_defaults_are_those_of_cifar_100(pair: Callable[..., tuple]) -> None:
    student, teacher, _ = pair(k=5, dtype=torch.float64)
    target = torch.tensor([0, 4, 2, 2])
    logits = (output.logits.detach().numpy() for output in (student, teacher))
    tckd, nckd = by_hand(*logits, target.numpy(), 4.0)
    terms = DKDLoss()(student, teacher, target)
    assert terms["tckd"].item() == pytest.approx(tckd / 20, rel=1e-8)
    assert terms["nckd"].item() == pytest.approx(8 * nckd / 20, rel=1e-8)


def test_alpha_beta_and_weight_are_factors(pair: Callable[..., tuple]) -> None:
    student, teacher, target = pair()
    target = target.clamp_min(0)
    tckd, nckd = dkd_loss(student.logits, teacher.logits, target, 1.0)
    terms = DKDLoss(2.0, 0.5, 1.0, warmup=0, weight=3.0)(student, teacher, target)
    assert terms["tckd"].item() == pytest.approx(6 * tckd.item(), rel=1e-6)
    assert terms["nckd"].item() == pytest.approx(1.5 * nckd.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("warmup", "factors"),
    [
        (20, {0: 1 / 20, 1: 2 / 20, 18: 19 / 20, 19: 1, 20: 1, 200: 1}),
        (1, {0: 1, 1: 1}),
        (0, {0: 1, 1: 1}),
    ],
)
def test_the_warm_up_is_linear_and_begins_above_zero(
    pair: Callable[..., tuple], warmup: int, factors: dict[int, float]
) -> None:
    student, teacher, target = pair()
    whole = DKDLoss(warmup=0)(student, teacher, target)
    loss = DKDLoss(warmup=warmup)
    for epoch, factor in factors.items():
        loss.set_epoch(epoch)
        for name, term in loss(student, teacher, target).items():
            assert term.item() == pytest.approx(factor * whole[name].item(), rel=1e-6)


def test_without_set_epoch_the_loss_is_in_the_first_epoch(pair: Callable[..., tuple]) -> None:
    loss = DKDLoss()
    unset = loss(*pair())
    loss.set_epoch(0)
    assert unset == loss(*pair())


@pytest.mark.parametrize("size", [(), (2, 3)])
def test_an_unlabelled_sample_has_the_class_that_the_teacher_predicts(
    pair: Callable[..., tuple], size: tuple[int, ...]
) -> None:
    student, teacher, target = pair(size=size)
    predicted = teacher.logits.argmax(1)
    loss = DKDLoss()
    unlabelled = loss(student, teacher, torch.full_like(target, -100))
    assert unlabelled == loss(student, teacher, predicted)
    other = (predicted + 1) % 3
    assert unlabelled["tckd"] != loss(student, teacher, other)["tckd"]


def test_the_terms_add_up_to_kd_where_the_others_have_their_share() -> None:
    # KL = TCKD + (1 - p_target) NCKD, sample by sample.
    student, teacher = torch.randn(2, 1, 5, dtype=torch.float64)
    tckd, nckd = dkd_loss(student, teacher, torch.tensor([3]), temperature=1)
    rest = 1 - teacher.softmax(1)[0, 3]
    divergence = kl(*(logits.softmax(1)[0].tolist() for logits in (teacher, student)))
    assert (tckd + rest * nckd).item() == pytest.approx(divergence, rel=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(), (2, 3)])
def test_two_classes_leave_nothing_to_nckd(
    pair: Callable[..., tuple], dtype: torch.dtype, size: tuple[int, ...]
) -> None:
    student, teacher, target = pair(k=2, dtype=dtype, size=size)
    terms = DKDLoss()(student, teacher, target)
    assert terms["nckd"].item() == 0
    (gradient,) = torch.autograd.grad(terms["nckd"], student.logits, retain_graph=True)
    assert not gradient.count_nonzero()
    (gradient,) = torch.autograd.grad(terms["tckd"], student.logits)
    assert gradient.count_nonzero() == gradient.numel()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("size", [120.0, 1e4, 1e6])
@pytest.mark.parametrize("k", [2, 3])
def test_certain_predictions_stay_finite(k: int, size: float, temperature: float) -> None:
    certain = size * torch.eye(k)
    student = certain.clone().requires_grad_()
    for teacher in (certain.roll(1, 0), certain, -certain, torch.zeros(k, k)):
        for target in (torch.arange(k), torch.zeros(k, dtype=torch.long)):
            terms = dkd_loss(student, teacher, target, temperature)
            assert all(term.isfinite() for term in terms)
            (gradient,) = torch.autograd.grad(sum(terms), student)
            assert gradient.isfinite().all()
            # Each row of a softmax's gradient is a difference of two distributions, of both terms.
            assert gradient.norm() < 2 * temperature * 2**0.5


def test_a_certain_mistake_costs_its_logits() -> None:
    # TCKD of a teacher with p = 1 is -log p_target = 300, which a probability cannot tell.
    student = torch.tensor([[0.0, 300.0]], requires_grad=True)
    tckd, _ = dkd_loss(student, torch.tensor([[300.0, 0.0]]), torch.tensor([0]), temperature=1)
    assert tckd.item() == pytest.approx(300)
    tckd.backward()
    assert student.grad is not None
    assert student.grad.tolist() == [[-1, 1]]


def test_a_certain_target_does_not_hide_the_others() -> None:
    # The others have e^-200 of the mass, and among themselves (3/4, 1/4) against (1/2, 1/2).
    teacher = torch.tensor([[200.0, np.log(3), 0.0]])
    student = torch.tensor([[200.0, 0.0, 0.0]])
    _, nckd = dkd_loss(student, teacher, torch.tensor([0]), temperature=1)
    expected = 3 / 4 * np.log(3 / 2) + 1 / 4 * np.log(1 / 2)
    assert nckd.item() == pytest.approx(expected, rel=1e-5)


def test_constant_logits_are_a_uniform_prediction() -> None:
    flat = torch.full((2, 4), 3.0, requires_grad=True)
    tckd, nckd = dkd_loss(flat, torch.zeros(2, 4), torch.tensor([0, 3]))
    assert tckd.item() == pytest.approx(0, abs=1e-6)
    assert nckd.item() == pytest.approx(0, abs=1e-6)


def test_there_is_no_state_to_keep(pair: Callable[..., tuple]) -> None:
    loss, other = DKDLoss(), DKDLoss()
    assert loss.state_dict() == {}
    other.load_state_dict(loss.state_dict())
    assert other(*pair()) == loss(*pair())


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_a_temperature_not_above_0_is_an_error(temperature: float) -> None:
    with pytest.raises(ValueError, match=f"temperature={temperature} must be above 0"):
        DKDLoss(temperature=temperature)


def test_a_negative_warm_up_is_an_error() -> None:
    with pytest.raises(ValueError, match="warmup=-1 must be at least 0"):
        DKDLoss(warmup=-1)


def test_other_classes_are_an_error() -> None:
    student, teacher = (Output(torch.ones(2, 8), torch.zeros(2, k)) for k in (3, 4))
    with pytest.raises(ValueError, match=r"\[2, 3\].*\[2, 4\].*same classes"):
        DKDLoss()(student, teacher, torch.tensor([0, 1]))


def test_a_single_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"logits of shape \[3, 1\] have a single class"):
        dkd_loss(torch.randn(3, 1), torch.randn(3, 1), torch.zeros(3, dtype=torch.long))


def test_masked_classes_are_left_out() -> None:
    student, teacher = torch.randn(2, 4, 3).double().unbind()
    student.requires_grad_()
    mask, target = torch.full((4, 1), -torch.inf).double(), torch.tensor([0, 1, 2, 0])
    expected = dkd_loss(student, teacher, target)
    found = dkd_loss(torch.cat([student, mask], 1), torch.cat([teacher, mask], 1), target)
    torch.testing.assert_close(found, expected)
    # The teacher alone: with its target masked, all its mass is on the others.
    alone = teacher.clone()
    alone[range(4), target] = -torch.inf
    tckd, nckd = dkd_loss(student, alone, target, 1.0)
    p = student.softmax(1)[range(4), target]
    assert tckd.item() == pytest.approx(-(1 - p).log().mean().item())
    (gradient,) = torch.autograd.grad(tckd + nckd, student)
    assert gradient.isfinite().all()
    with pytest.raises(ValueError, match="student's logits mask a class"):
        dkd_loss(alone, teacher, target)


@pytest.mark.parametrize("label", [-100, -1, 3])
def test_a_target_that_is_no_class_is_named(label: int) -> None:
    logits = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="target ranges from"):
        dkd_loss(logits, logits, torch.tensor([0, label]))
