from collections.abc import Callable

import pytest
import torch

from fdkd_lightning.losses.standardizer import (
    Standardizer,
    UnitLength,
    UnitVariance,
    Unstandardized,
)
from fdkd_lightning.ops.normalize import standardize

every_unit = pytest.mark.parametrize("unit", [UnitLength, UnitVariance])


@pytest.mark.parametrize("dim", [1, -1])
def test_length_and_variance_are_one_along_dim(dim: int) -> None:
    x = torch.randn(3, 8, 6, dtype=torch.float64)
    size = x.shape[dim]
    for unit, length in ((UnitLength(), 1.0), (UnitVariance(), size**0.5)):
        y = unit(x, dim)
        torch.testing.assert_close(y.mean(dim), torch.zeros_like(y.mean(dim)))
        torch.testing.assert_close(y.norm(dim=dim), torch.full_like(y.mean(dim), length))
    assert torch.equal(UnitLength()(x, dim), standardize(x, dim))


@every_unit
def test_residue_of_a_large_source_becomes_zero(unit: Callable[[], Standardizer]) -> None:
    x = 1e-4 * torch.randn(2, 8)
    assert unit()(x).count_nonzero() == x.numel()
    assert unit()(x, source=torch.full_like(x, 1e4)).count_nonzero() == 0


def test_unstandardized_returns_its_input() -> None:
    x = torch.randn(2, 8)
    assert Unstandardized()(x, -1, x) is x
