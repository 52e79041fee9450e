from collections.abc import Callable

import numpy as np
import pytest
import torch

from fdkd_lightning.decoupler import FrequencyDecoupler
from fdkd_lightning.ops.normalize import l2_normalize, standardize


def unit(rows: np.ndarray) -> np.ndarray:
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.sqrt((rows**2).sum(1, keepdims=True))


def test_standardised_is_centred_and_of_length_one() -> None:
    # [1, 2, 0, 5] - 2 has length sqrt(14).
    x = torch.tensor([[1.0, 2.0, 0.0, 5.0]], dtype=torch.float64)
    expected = np.array([-1, 0, -2, 3]) / np.sqrt(14)
    assert standardize(x)[0].tolist() == pytest.approx(expected.tolist(), abs=1e-15)
    assert standardize(1e-8 * x + 0)[0].tolist() == pytest.approx(expected.tolist(), abs=1e-12)


@pytest.mark.parametrize("dim", [1, -1])
def test_standardising_runs_along_dim(dim: int) -> None:
    x = np.random.default_rng(0).normal(loc=0.5, size=(2, 5, 6))
    expected = np.moveaxis([unit(rows) for rows in np.moveaxis(x, dim, -1)], -1, dim)
    found = standardize(torch.from_numpy(x), dim)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_standardising_half_precision_gives_float32(dtype: torch.dtype) -> None:
    x = torch.randn(2, 64).to(dtype)
    assert standardize(x).dtype == torch.float32
    assert torch.equal(standardize(x), standardize(x.float()))


@pytest.mark.parametrize("size", [7, 64, 512])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e4])
def test_residue_is_not_taken_for_a_signal(size: int, value: float) -> None:
    x = torch.full((2, size), value, requires_grad=True)
    standardised = torch.cat([standardize(band, source=x) for band in FrequencyDecoupler()(x)])
    # Towards a random target: one gradient of length 1 per amplified vector is hard to miss.
    (standardised - torch.randn_like(standardised)).square().sum().backward()
    assert standardised.count_nonzero() == 0
    assert x.grad is not None
    assert x.grad.count_nonzero() == 0


def test_a_small_band_beside_a_large_one_is_a_signal() -> None:
    n = torch.arange(64, dtype=torch.float64)
    low, high = torch.cos(2 * torch.pi * n / 64), 1e-3 * torch.cos(torch.pi * n)
    bands = FrequencyDecoupler()((low + high)[None].float())
    length = standardize(bands.high, source=(low + high)[None]).norm()
    assert length.item() == pytest.approx(1, rel=1e-5)


def test_gradients_of_standardising() -> None:
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(standardize, x)


def test_a_small_signal_is_one_in_float64() -> None:
    x = 1 + 1e-7 * torch.arange(8, dtype=torch.float64)[None]
    assert standardize(x).norm().item() == pytest.approx(1)


def test_a_normalised_vector_is_the_vector_over_its_length() -> None:
    x = torch.tensor([[3.0, -4.0], [1e-20, 0.0]], dtype=torch.float64)
    assert l2_normalize(x).tolist() == [[0.6, -0.8], [1.0, 0.0]]
    assert torch.equal(l2_normalize(x.T, dim=0), l2_normalize(x).T)


def test_a_zero_vector_stays_zero_without_a_gradient() -> None:
    x = torch.zeros(2, 4, requires_grad=True)
    (l2_normalize(x) - torch.ones(2, 4)).square().sum().backward()
    assert l2_normalize(x).count_nonzero() == 0
    assert x.grad is not None
    assert x.grad.count_nonzero() == 0


def test_gradients_of_normalising() -> None:
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(l2_normalize, x)


@pytest.mark.parametrize("function", [l2_normalize, standardize])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1e30])
def test_a_vector_without_a_length_becomes_nan_and_the_others_stay(
    function: Callable[[torch.Tensor], torch.Tensor], bad: float
) -> None:
    x = torch.tensor([[1.0, 2.0, 4.0], [bad, 0.0, -1.0], [0.0, 0.0, 0.0]], requires_grad=True)
    found = function(x)
    assert found[1].isnan().all()
    assert torch.equal(found[::2], function(x[::2]))
    assert found[0].norm().item() == pytest.approx(1)
    assert found[2].tolist() == [0, 0, 0]
    found.sum().backward()
    assert x.grad is not None
    assert x.grad[1].isnan().all()
    assert x.grad[::2].isfinite().all()


@pytest.mark.parametrize("function", [l2_normalize, standardize])
def test_what_is_no_vector_is_named(function: Callable[..., torch.Tensor]) -> None:
    with pytest.raises(ValueError, match=r"dim=2 is no axis .* \[2, 3\]: choose from -2 to 1"):
        function(torch.zeros(2, 3), dim=2)
    with pytest.raises(ValueError, match=r"x has dtype torch.int64: give floating-point"):
        function(torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"shape \[2, 0\] has no values along dim=1"):
        function(torch.zeros(2, 0))
    with pytest.raises(TypeError, match="x is of type list"):
        function([1.0])


def test_the_source_of_a_band_has_its_shape() -> None:
    with pytest.raises(ValueError, match=r"source has shape \[1, 4\], x \[2, 4\]"):
        standardize(torch.randn(2, 4), source=torch.randn(1, 4))
