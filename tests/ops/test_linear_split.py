import pytest
import torch

from fdkd_lightning.decoupler import DCTDecoupler, FrequencyDecoupler, HaarDecoupler
from fdkd_lightning.decoupler.base import OrthogonalDecoupler
from fdkd_lightning.decoupler.random_orthogonal import RandomOrthogonalDecoupler
from fdkd_lightning.ops.linear_split import LARGEST_MATRIX, LinearSplit, without_autocast

SPLITS = [FrequencyDecoupler(0.3), DCTDecoupler(), HaarDecoupler(2), RandomOrthogonalDecoupler()]
SIZES = [17, 64, LARGEST_MATRIX + 1]


@pytest.mark.parametrize("decoupler", SPLITS, ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("size", SIZES)
def test_bands_are_those_of_the_split_and_constants_are_annihilated(
    decoupler: OrthogonalDecoupler, size: int
) -> None:
    x = torch.randn(3, size, 5, dtype=torch.float64)
    x -= x.mean(1, keepdim=True)
    part = decoupler.low_part(size)
    expected = torch.stack(decoupler(x))
    for y, bands, axis in ((x, expected, -2), (x.mT.contiguous(), expected.mT, -1)):
        split = LinearSplit.of(part, y, axis)
        assert (split.matrices is None) == (size > LARGEST_MATRIX)
        torch.testing.assert_close(split.low(y), bands[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(split.low(y + 1), bands[0], rtol=0, atol=1e-12)
        found = torch.empty(2, *y.shape, dtype=y.dtype)
        split.write(y, found)
        torch.testing.assert_close(found, bands, rtol=0, atol=1e-12)


@pytest.mark.parametrize("decoupler", SPLITS, ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("size", SIZES)
def test_the_joined_gradient_is_that_of_the_split(
    decoupler: OrthogonalDecoupler, size: int
) -> None:
    x = torch.randn(3, size, dtype=torch.float64, requires_grad=True)
    by_bands = torch.randn(2, 3, size, dtype=torch.float64)
    (expected,) = torch.autograd.grad(torch.stack(decoupler(x)), x, by_bands)
    found = LinearSplit.of(decoupler.low_part(size), x, -1).join(by_bands)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_neither_autocast_nor_a_lower_precision_of_products_rounds() -> None:
    x = torch.randn(64, 128)
    part = FrequencyDecoupler().low_part(128)
    expected = LinearSplit.of(part, x.double(), -1).low(x.double()).float()
    with torch.autocast("cpu", dtype=torch.bfloat16), without_autocast(x.device):
        found = LinearSplit.of(part, x, -1).low(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    torch.set_float32_matmul_precision("medium")
    try:
        assert LinearSplit.of(part, x, -1).matrices is None
    finally:
        torch.set_float32_matmul_precision("highest")


def test_parts_of_other_splits_with_the_same_number_differ() -> None:
    parts = [FrequencyDecoupler(0.5).low_part(16), DCTDecoupler(4 / 15).low_part(16)]
    x = torch.randn(2, 16)
    assert parts[0] != parts[1]
    first, second = (LinearSplit.of(part, x, -1).low(x) for part in parts)
    assert not torch.allclose(first, second)
