import re

import numpy as np
import pytest
import torch
from scipy.fft import dct, idct
from torch import Tensor

from fdkd_lightning.decoupler import DCTDecoupler, FrequencyDecoupler

# (threshold, D, last coefficient of the low band)
CUTS = [
    (1 / 4, 512, 127),
    (1 / 3, 512, 170),
    (1 / 2, 512, 255),
    (1 / 2, 7, 3),
    (1 / 3, 7, 2),
    (1 / 4, 9, 2),
    (1 / 2, 3, 1),
    (0.29, 101, 29),  # 0.29 * 100 is 28.999999999999996
]


def cosine(k: int, size: int) -> Tensor:
    n = torch.arange(size, dtype=torch.float64)
    return torch.cos(torch.pi * k * (2 * n + 1) / (2 * size))[None]


@pytest.mark.parametrize(("threshold", "size", "cut"), CUTS)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_bands_are_the_coefficients_of_scipy(
    threshold: float, size: int, cut: int, dtype: torch.dtype, error: float
) -> None:
    x = np.random.default_rng(size).normal(loc=2, size=(3, size))
    coefficients = dct(x, type=2, norm="ortho")
    k = np.arange(size)
    low, high = DCTDecoupler(threshold)(torch.from_numpy(x).to(dtype))
    for band, mask in ((low, (k >= 1) & (k <= cut)), (high, k > cut)):
        np.testing.assert_allclose(band, idct(coefficients * mask, norm="ortho"), atol=error)


def test_a_split_worked_out_by_hand() -> None:
    # x - 2 = [-2, -1, 3]; u_1 = [1, 0, -1] / sqrt 2, u_2 = [1, -2, 1] / sqrt 6: with coefficients
    # -5 / sqrt 2 and 3 / sqrt 6.
    low, high = DCTDecoupler()(torch.tensor([[0.0, 1.0, 5.0]], dtype=torch.float64))
    assert low.tolist() == [pytest.approx([-2.5, 0, 2.5], abs=1e-14)]
    assert high.tolist() == [pytest.approx([0.5, -1, 0.5], abs=1e-14)]


@pytest.mark.parametrize(("threshold", "size", "cut"), CUTS)
def test_a_cosine_up_to_the_cut_is_low_and_one_above_is_high(
    threshold: float, size: int, cut: int
) -> None:
    for k, band in ((1, 0), (cut, 0), (cut + 1, 1), (size - 1, 1)):
        x = cosine(k, size)
        bands = DCTDecoupler(threshold)(x)
        torch.testing.assert_close(bands[band], x, rtol=0, atol=1e-11)
        torch.testing.assert_close(bands[1 - band], torch.zeros_like(x), rtol=0, atol=1e-11)


@pytest.mark.parametrize("threshold", [1 / 4, 1 / 3, 1 / 2, 0.7])
def test_the_bands_are_as_large_as_those_of_frequencies_up_to_one(threshold: float) -> None:
    for size in range(8, 40):
        dct_rank, other = (
            int(torch.linalg.matrix_rank(decoupler(torch.eye(size).double()).low))
            for decoupler in (DCTDecoupler(threshold), FrequencyDecoupler(threshold))
        )
        assert abs(dct_rank - other) <= 1


def test_the_last_channel_is_no_neighbour_of_the_first() -> None:
    ramp = torch.arange(64, dtype=torch.float64)[None]
    share = {
        kind: (bands.high.norm() / (ramp - ramp.mean()).norm()).item()
        for kind in (DCTDecoupler, FrequencyDecoupler)
        for bands in [kind()(ramp)]
    }
    # The step from the last to the first is high only where they meet.
    assert share[DCTDecoupler] < 0.01 < 0.1 < share[FrequencyDecoupler]


@pytest.mark.parametrize("threshold", [-0.5, 0, 1, float("nan")])
def test_a_threshold_outside_0_and_1_is_an_error(threshold: float) -> None:
    with pytest.raises(ValueError, match=rf"threshold={threshold} is outside \(0, 1\)"):
        DCTDecoupler(threshold)


@pytest.mark.parametrize(
    ("threshold", "size", "band"), [(0.1, 7, "low"), (0.001, 512, "low"), (1 - 1e-12, 8, "high")]
)
def test_an_empty_band_is_an_error_whose_remedy_works(
    threshold: float, size: int, band: str
) -> None:
    message = rf"threshold={threshold} .* {band} band of features of size {size} empty"
    with pytest.raises(ValueError, match=message) as caught:
        DCTDecoupler(threshold)(torch.ones(1, size))
    remedy = re.search(r"choose a threshold from (\S+) to below 1", str(caught.value))
    assert remedy is not None
    DCTDecoupler(float(remedy[1]))(torch.ones(1, size))


def test_three_channels_are_enough() -> None:
    for size in (1, 2):
        with pytest.raises(ValueError, match=f"size {size} empty .* size of at least 3"):
            DCTDecoupler()(torch.ones(1, size))
    DCTDecoupler()(torch.ones(1, 3))


def test_the_arguments_are_shown() -> None:
    assert repr(DCTDecoupler(0.25, -1, True)) == (
        "DCTDecoupler(threshold=0.25, dim=-1, keep_dc=True)"
    )
