import numpy as np
import pytest
import torch

from fdkd_lightning.losses.log_mse import LogMSELoss, log_mse_loss


def test_a_value_worked_out_by_hand() -> None:
    # sigma: 1 against 0 and 0 against -1, so the mean of squares is 1.
    student = torch.tensor([np.e - 1, 0.0], dtype=torch.float64)
    teacher = torch.tensor([0.0, 1 - np.e], dtype=torch.float64)
    assert log_mse_loss(student, teacher).item() == pytest.approx(1, abs=1e-15)


def test_gradients_at_zeros_too() -> None:
    values = [[-2.0, 0.0, 0.5], [0.0, 0.0, 3.0]]
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    y = torch.zeros_like(x, requires_grad=True)
    assert torch.autograd.gradcheck(log_mse_loss, (x, y))


@pytest.mark.parametrize("shape", [(3, 7), (2, 64, 2, 3), (2, 5, 512), (3, 768)])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_the_mean_runs_over_all_elements(
    shape: tuple[int, ...], dtype: torch.dtype, error: float
) -> None:
    student, teacher = np.random.default_rng(0).normal(scale=3, size=(2, *shape))
    a, b = (np.sign(x) * np.log(1 + np.abs(x)) for x in (student, teacher))
    expected = sum((a - b).flatten() ** 2) / a.size
    tensors = [torch.from_numpy(x).to(dtype) for x in (student, teacher)]
    assert log_mse_loss(*tensors).item() == pytest.approx(expected, rel=error)
    assert torch.equal(LogMSELoss()(*tensors), log_mse_loss(*tensors))


def test_it_is_weaker_than_mse_where_values_are_large() -> None:
    student, teacher = torch.tensor([100.0]), torch.tensor([-100.0])
    assert log_mse_loss(student, teacher) < 0.01 * torch.nn.functional.mse_loss(student, teacher)
