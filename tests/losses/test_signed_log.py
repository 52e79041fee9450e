import numpy as np
import pytest
import torch

from fdkd_lightning.losses.signed_log import SignedLog1p, signed_log1p


def test_values_worked_out_by_hand() -> None:
    e = float(np.e)
    x = torch.tensor([0.0, e - 1, 1 - e, e**2 - 1, 1.0], dtype=torch.float64)
    expected = [0.0, 1.0, -1.0, 2.0, np.log(2)]
    assert signed_log1p(x).tolist() == pytest.approx(expected, abs=1e-15)
    assert torch.equal(SignedLog1p()(x), signed_log1p(x))


def test_the_derivative_is_one_over_one_plus_magnitude_at_zero_too() -> None:
    x = torch.tensor([-1e4, -3.0, -1e-9, -0.0, 0.0, 1e-9, 0.5, 1e4], dtype=torch.float64)
    x.requires_grad_()
    signed_log1p(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([1 / (1 + abs(v)) for v in x.tolist()], rel=1e-14)
    assert x.grad[3:5].tolist() == [1, 1]


def test_it_is_odd() -> None:
    x = torch.randn(100) * torch.logspace(-6, 6, 100)
    assert torch.equal(signed_log1p(-x), -signed_log1p(x))


def test_small_values_keep_their_digits() -> None:
    x = torch.tensor([1e-12, -1e-30])
    assert signed_log1p(x).tolist() == pytest.approx(x.tolist(), rel=1e-6)


def test_gradients_at_zeros_too() -> None:
    x = torch.tensor([[-2.0, 0.0, 0.5], [0.0, 0.0, 3.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(signed_log1p, x)
