from collections.abc import Callable

import numpy as np
import pytest
import torch

from fdkd_lightning.losses.kd import KDLoss, kd_loss
from fdkd_lightning.types import Output


def by_hand(student: np.ndarray, teacher: np.ndarray, temperature: float) -> float:
    """T^2 times the mean over rows of sum p (log p - log q), by explicit log-sum-exp."""
    losses = []
    for s, t in zip(student / temperature, teacher / temperature, strict=True):
        log_q, log_p = s - np.log(np.exp(s).sum()), t - np.log(np.exp(t).sum())
        losses.append(sum(np.exp(log_p) * (log_p - log_q)))
    return temperature**2 * sum(losses) / len(losses)


def test_a_value_worked_out_by_hand() -> None:
    # T=2 leaves the teacher log 3 and 0: (3/4, 1/4), against (1/2, 1/2).
    teacher = torch.tensor([[9.0, 1.0]], dtype=torch.float64).log()
    divergence = 3 / 4 * np.log(3 / 2) + 1 / 4 * np.log(1 / 2)
    loss = kd_loss(torch.zeros(1, 2, dtype=torch.float64), teacher, temperature=2)
    assert loss.item() == pytest.approx(4 * divergence, abs=1e-14)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("shape", [(5, 2), (3, 7), (2, 64, 2, 3), (3, 512), (3, 768)])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_the_mean_runs_over_samples_and_pixels(
    shape: tuple[int, ...], dtype: torch.dtype, error: float, temperature: float
) -> None:
    student, teacher = np.random.default_rng(0).normal(size=(2, *shape))
    rows = (np.moveaxis(x, 1, -1).reshape(-1, shape[1]) for x in (student, teacher))
    tensors = (torch.from_numpy(x).to(dtype) for x in (student, teacher))
    assert kd_loss(*tensors, temperature).item() == pytest.approx(
        by_hand(*rows, temperature), rel=error
    )


def test_only_differences_between_logits_count() -> None:
    logits = torch.randn(4, 5, dtype=torch.float64)
    assert kd_loss(logits, logits + 7).item() == pytest.approx(0, abs=1e-12)
    assert kd_loss(logits, 2 * logits).item() > 0.01


def test_certain_predictions_stay_finite() -> None:
    student = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = kd_loss(student, torch.tensor([[-1e4, 1e4]]), temperature=1)
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert student.grad is not None
    assert student.grad.tolist() == [[1, -1]]


def test_the_default_temperature_is_4_and_the_weight_a_factor(pair: Callable[..., tuple]) -> None:
    student, teacher, target = pair()
    logits = student.logits, teacher.logits
    for loss, expected in (
        (KDLoss(), kd_loss(*logits, 4.0)),
        (KDLoss(temperature=2), kd_loss(*logits, 2.0)),
        (KDLoss(temperature=2, weight=0.9), 0.9 * kd_loss(*logits, 2.0)),
    ):
        assert torch.equal(loss(student, teacher, target)["kd"], expected)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_a_temperature_not_above_0_is_an_error(temperature: float) -> None:
    with pytest.raises(ValueError, match=f"temperature={temperature} must be above 0"):
        KDLoss(temperature)


def test_other_classes_are_an_error() -> None:
    student, teacher = (Output(torch.ones(2, 8), torch.zeros(2, k)) for k in (3, 4))
    with pytest.raises(ValueError, match=r"\[2, 3\].*\[2, 4\].*same classes"):
        KDLoss()(student, teacher, torch.tensor([0, 1]))
