import pytest
import torch

from fdkd_lightning.decoupler import DCTDecoupler, FrequencyDecoupler, HaarDecoupler
from fdkd_lightning.decoupler.base import OrthogonalDecoupler
from fdkd_lightning.decoupler.random_orthogonal import RandomOrthogonalDecoupler
from fdkd_lightning.ops.low_part import LARGEST_MATRIX, apply_low_part

SPLITS = [FrequencyDecoupler(0.3), DCTDecoupler(), HaarDecoupler(2), RandomOrthogonalDecoupler()]


@pytest.mark.parametrize("decoupler", SPLITS, ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("size", [17, 64, LARGEST_MATRIX + 1])
def test_the_product_is_the_low_band_and_annihilates_constants(
    decoupler: OrthogonalDecoupler, size: int
) -> None:
    x = torch.randn(3, size, 5, dtype=torch.float64)
    x -= x.mean(1, keepdim=True)
    part = decoupler.low_part(size)
    low = decoupler(x).low
    torch.testing.assert_close(apply_low_part(part, x, -2), low, rtol=0, atol=1e-12)
    by_rows = apply_low_part(part, x.mT, -1).mT
    torch.testing.assert_close(by_rows, low, rtol=0, atol=1e-12)


def test_neither_autocast_nor_a_lower_precision_of_products_rounds() -> None:
    x = torch.randn(64, 128)
    part = FrequencyDecoupler().low_part(128)
    expected = apply_low_part(part, x.double(), -1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(apply_low_part(part, x, -1), expected, rtol=0, atol=1e-5)
    torch.set_float32_matmul_precision("medium")
    try:
        torch.testing.assert_close(apply_low_part(part, x, -1), expected, rtol=0, atol=1e-5)
    finally:
        torch.set_float32_matmul_precision("highest")


def test_parts_of_other_splits_with_the_same_number_differ() -> None:
    parts = [FrequencyDecoupler(0.5).low_part(16), DCTDecoupler(4 / 15).low_part(16)]
    x = torch.randn(2, 16)
    assert parts[0] != parts[1]
    first, second = (apply_low_part(part, x, -1) for part in parts)
    assert not torch.allclose(first, second)
