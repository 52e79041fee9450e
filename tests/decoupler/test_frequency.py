import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from fdkd_lightning.decoupler import FrequencyDecoupler, frequency_split

SIZES = [7, 64, 512, 768]
LAYOUTS = {
    "[N, D]": lambda size: ((3, size), 1),
    "[N, D, H, W]": lambda size: ((2, size, 2, 3), 1),
    "[N, L, D]": lambda size: ((2, 5, size), -1),
}
# (threshold, D, last bin of the low band)
CUTS = [
    (1 / 4, 512, 64),
    (1 / 3, 512, 85),
    (1 / 2, 512, 128),
    (1 / 3, 768, 128),
    (1 / 2, 7, 1),
    (1 / 3, 7, 1),
    (0.29, 200, 29),  # 0.29 * 100 is 28.999999999999996
    (0.57, 200, 57),  # 0.57 * 100 is 56.99999999999999
]


def tone(frequency: int, size: int, phase: float = 0.7) -> Tensor:
    n = torch.arange(size, dtype=torch.float64)
    return torch.cos(2 * torch.pi * frequency * n / size + phase)[None]


def project(x: np.ndarray, first: int, last: int, dim: int) -> np.ndarray:
    """Project ``x`` on the cosines and sines of the bins first..last: no FFT."""
    size = x.shape[dim]
    angles = 2 * np.pi * (np.outer(np.arange(first, last + 1), np.arange(size)) % size) / size
    waves = np.concatenate([np.cos(angles), np.sin(angles)])
    energy = (waves**2).sum(1, keepdims=True)
    waves = waves / np.sqrt(np.where(energy > 1e-9, energy, np.inf))  # no sine at Nyquist
    return np.moveaxis(np.moveaxis(x, dim, -1) @ (waves.T @ waves), -1, dim)


def test_a_split_worked_out_by_hand() -> None:
    # x - 2 = [-1, 0, -2, 3]. Bin 1 has (2/4)(-1 + 2) = 1/2 of the cosine [1, 0, -1, 0] and
    # (2/4)(0 - 3) = -3/2 of the sine [0, 1, 0, -1]; bin 2, Nyquist, -6/4 of [1, -1, 1, -1].
    low, high = frequency_split(torch.tensor([[1.0, 2.0, 0.0, 5.0]], dtype=torch.float64))
    assert low.tolist() == [pytest.approx([0.5, -1.5, -0.5, 1.5], abs=1e-15)]
    assert high.tolist() == [pytest.approx([-1.5, 1.5, -1.5, 1.5], abs=1e-15)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_bands_are_projections_on_cosines_and_sines(
    layout: str, size: int, dtype: torch.dtype, error: float
) -> None:
    shape, dim = LAYOUTS[layout](size)
    x = np.random.default_rng(size).normal(loc=2, size=shape)
    low, high = frequency_split(torch.from_numpy(x).to(dtype), dim=dim)
    cut = size // 2 // 2
    assert low.dtype == high.dtype == dtype
    np.testing.assert_allclose(low, project(x, 1, cut, dim), rtol=0, atol=error)
    np.testing.assert_allclose(high, project(x, cut + 1, size // 2, dim), rtol=0, atol=error)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keep_dc", [False, True])
def test_nothing_is_lost(size: int, keep_dc: bool) -> None:
    x = torch.randn(3, size, dtype=torch.float64) + 5
    low, high = frequency_split(x, keep_dc=keep_dc)
    whole = x if keep_dc else x - x.mean(1, keepdim=True)
    torch.testing.assert_close(low + high, whole, rtol=0, atol=1e-12)
    mean = x.mean(1) if keep_dc else torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(low.mean(1), mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(high.mean(1), torch.zeros_like(mean), rtol=0, atol=1e-12)


def test_the_split_is_linear() -> None:
    x, y = torch.randn(2, 3, 64, dtype=torch.float64)
    both, of_x, of_y = (frequency_split(v) for v in (2 * x - 3 * y, x, y))
    for band, a, b in zip(both, of_x, of_y, strict=True):
        torch.testing.assert_close(band, 2 * a - 3 * b, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("threshold", "size", "cut"), CUTS)
def test_a_tone_up_to_the_cut_is_low_and_one_above_is_high(
    threshold: float, size: int, cut: int
) -> None:
    for frequency, band in ((1, 0), (cut, 0), (cut + 1, 1), (size // 2, 1)):
        x = tone(frequency, size)
        bands = frequency_split(x, threshold)
        torch.testing.assert_close(bands[band], x, rtol=0, atol=1e-11)
        torch.testing.assert_close(bands[1 - band], torch.zeros_like(x), rtol=0, atol=1e-11)


@pytest.mark.parametrize("threshold", [-0.5, 0, 1, 1.5, float("nan")])
@pytest.mark.parametrize(
    "split", [lambda t: frequency_split(torch.ones(1, 8), t), FrequencyDecoupler]
)
def test_a_threshold_outside_0_and_1_is_an_error(
    split: Callable[[float], object], threshold: float
) -> None:
    with pytest.raises(ValueError, match=rf"threshold={threshold} is outside \(0, 1\)"):
        split(threshold)


@pytest.mark.parametrize(
    ("threshold", "size", "band"),
    [(0.3, 7, "low"), (0.001, 512, "low"), (0.0005, 768, "low"), (1 - 1e-12, 8, "high")],
)
def test_an_empty_band_is_an_error_whose_remedy_works(
    threshold: float, size: int, band: str
) -> None:
    x = torch.randn(1, size)
    message = rf"threshold={threshold} .* {band} band of features of size {size} empty"
    with pytest.raises(ValueError, match=message) as caught:
        frequency_split(x, threshold)
    remedy = re.search(r"choose a threshold from (\S+) to below 1", str(caught.value))
    assert remedy is not None
    frequency_split(x, float(remedy[1]))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_features_too_small_for_two_bands_are_an_error(size: int) -> None:
    with pytest.raises(ValueError, match=f"size {size} empty .* size of at least 4"):
        frequency_split(torch.ones(1, size))
    frequency_split(torch.ones(1, 4))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_split_in_float32(dtype: torch.dtype) -> None:
    x = torch.randn(2, 768).to(dtype)  # 768: no power of two, which half FFTs want
    bands = frequency_split(x)
    for band, expected in zip(bands, frequency_split(x.float()), strict=True):
        assert band.dtype == torch.float32
        assert torch.equal(band, expected)


def test_autocast_changes_nothing() -> None:
    x = torch.randn(2, 64)
    expected = frequency_split(x)
    with torch.autocast("cpu", torch.bfloat16):
        bands = frequency_split(x)
    for band, other in zip(bands, expected, strict=True):
        assert band.dtype == torch.float32
        assert torch.equal(band, other)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mean", [1e4, -12345.678])
def test_a_large_mean_costs_no_precision(size: int, mean: float) -> None:
    x = torch.randn(16, size) + mean
    for band, exact in zip(frequency_split(x), frequency_split(x.double()), strict=True):
        torch.testing.assert_close(band.double(), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("keep_dc", [False, True])
def test_gradients(size: int, keep_dc: bool) -> None:
    x = torch.randn(2, size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: tuple(frequency_split(v, keep_dc=keep_dc)), x)


def test_any_axis_and_any_strides() -> None:
    x = torch.randn(3, 4, 64)
    expected = frequency_split(x, dim=2)
    for other, dim in ((x, -1), (x.mT.contiguous().mT, 2), (x.mT, 1), (x.mT, -2)):
        for band, reference in zip(frequency_split(other, dim=dim), expected, strict=True):
            band = band if other.shape == x.shape else band.mT
            torch.testing.assert_close(band, reference, rtol=0, atol=1e-6)


@pytest.mark.parametrize("keep_dc", [False, True])
@pytest.mark.parametrize(("threshold", "dim"), [(0.5, 1), (0.25, -1)])
def test_the_module_is_the_function(threshold: float, dim: int, keep_dc: bool) -> None:
    x = torch.randn(2, 16, 12)
    decoupler = FrequencyDecoupler(threshold, dim, keep_dc)
    bands = decoupler(x)
    for band, expected in zip(bands, frequency_split(x, threshold, dim, keep_dc), strict=True):
        assert torch.equal(band, expected)
    assert repr(decoupler) == (
        f"FrequencyDecoupler(threshold={threshold}, dim={dim}, keep_dc={keep_dc})"
    )
    assert not decoupler.state_dict()
