import re

import numpy as np
import pytest
import torch

from fdkd_lightning.decoupler import HaarDecoupler


def details(size: int, levels: int) -> np.ndarray:
    """The Haar wavelets of the first levels, one a row, of unit length."""
    rows = []
    for level in range(1, levels + 1):
        block = 2**level
        for start in range(0, size, block):
            row = np.zeros(size)
            row[start : start + block // 2] = 1
            row[start + block // 2 : start + block] = -1
            rows.append(row / np.sqrt(block))
    return np.stack(rows)


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("size", [16, 24, 512])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_high_band_is_the_wavelets_of_its_levels(
    levels: int, size: int, dtype: torch.dtype, error: float
) -> None:
    x = np.random.default_rng(size).normal(loc=2, size=(3, size))
    wavelets = details(size, levels)
    high = x @ wavelets.T @ wavelets
    bands = HaarDecoupler(levels)(torch.from_numpy(x).to(dtype))
    np.testing.assert_allclose(bands.high, high, atol=error)
    np.testing.assert_allclose(bands.low, x - x.mean(1, keepdims=True) - high, atol=error)


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("size", [9, 10, 11, 13, 15, 511])
def test_the_channels_left_over_are_a_block_of_their_own(levels: int, size: int) -> None:
    x = np.random.default_rng(size).normal(loc=2, size=(2, size))
    low = np.empty_like(x)
    for row, means in zip(x, low, strict=True):
        for start in range(0, size, 2**levels):
            block = slice(start, min(start + 2**levels, size))
            means[block] = sum(row[block]) / len(row[block])
    bands = HaarDecoupler(levels, keep_dc=True)(torch.from_numpy(x))
    np.testing.assert_allclose(bands.low, low, atol=1e-12)
    np.testing.assert_allclose(bands.high, x - low, atol=1e-12)
    rank = np.linalg.matrix_rank(HaarDecoupler(levels)(torch.eye(size).double()).low)
    assert rank == -(-size // 2**levels) - 1


def test_a_split_worked_out_by_hand() -> None:
    x = torch.tensor([[1.0, 3.0, 5.0, 5.0, 6.0]], dtype=torch.float64)
    low, high = HaarDecoupler()(x)
    assert low.tolist() == [pytest.approx([-2, -2, 1, 1, 2], abs=1e-14)]
    assert high.tolist() == [pytest.approx([-1, 1, 0, 0, 0], abs=1e-14)]
    low, high = HaarDecoupler(levels=2)(x)
    assert low.tolist() == [pytest.approx([-0.5, -0.5, -0.5, -0.5, 2], abs=1e-14)]
    assert high.tolist() == [pytest.approx([-2.5, -0.5, 1.5, 1.5, 0], abs=1e-14)]


@pytest.mark.parametrize("levels", [0, -1])
def test_no_level_is_an_error(levels: int) -> None:
    with pytest.raises(ValueError, match=f"levels={levels} must be from 1 to 30"):
        HaarDecoupler(levels)


@pytest.mark.parametrize(
    ("levels", "size", "most"), [(3, 7, 2), (3, 8, 2), (4, 9, 3), (9, 512, 8), (2, 3, 1)]
)
def test_an_empty_low_band_is_an_error_whose_remedy_works(
    levels: int, size: int, most: int
) -> None:
    message = f"levels={levels} leaves the low band of features of size {size} empty"
    with pytest.raises(ValueError, match=message) as caught:
        HaarDecoupler(levels)(torch.ones(1, size))
    remedy = re.search(r"choose levels from 1 to (\d+)", str(caught.value))
    assert remedy is not None
    assert int(remedy[1]) == most
    HaarDecoupler(most)(torch.ones(1, size))
    with pytest.raises(ValueError, match="empty"):
        HaarDecoupler(most + 1)(torch.ones(1, size))


def test_three_channels_are_enough() -> None:
    for size in (1, 2):
        with pytest.raises(ValueError, match=f"size {size} empty .* size of at least 3"):
            HaarDecoupler()(torch.ones(1, size))
    HaarDecoupler()(torch.ones(1, 3))


def test_the_arguments_are_shown() -> None:
    assert repr(HaarDecoupler(2, -1, True)) == "HaarDecoupler(levels=2, dim=-1, keep_dc=True)"
