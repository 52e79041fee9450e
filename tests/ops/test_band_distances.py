from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.decoupler import DCTDecoupler, FrequencyDecoupler, HaarDecoupler
from fdkd_lightning.decoupler.base import OrthogonalDecoupler
from fdkd_lightning.losses.band_comparison import BandComparison
from fdkd_lightning.losses.log_mse import LogMSELoss
from fdkd_lightning.losses.standardizer import UnitLength
from fdkd_lightning.ops import compare_bands, linear_split


def comparison(dim: int = 1, threshold: float = 0.5) -> BandComparison:
    split = FrequencyDecoupler(threshold, dim)
    return BandComparison(split, nn.MSELoss(), LogMSELoss(), UnitLength())


def plain(compare: BandComparison) -> Callable[..., tuple[Tensor, Tensor, Tensor | None]]:
    return lambda x, y, with_bands: compare.part_by_part(x, y, None, with_bands)


@pytest.mark.parametrize("chunk", [40, 2**15])
@pytest.mark.parametrize(
    ("shape", "dim"), [((6, 9), 1), ((2, 3, 8), -1), ((2, 8, 3, 5), 1), ((8, 5), 0), ((7,), 0)]
)
@pytest.mark.parametrize("with_bands", [False, True])
def test_values_and_gradients_are_those_of_the_parts(
    shape: tuple[int, ...],
    dim: int,
    chunk: int,
    with_bands: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compare_bands, "CHUNK", chunk)
    torch.manual_seed(0)
    x, y = (torch.randn(shape, dtype=torch.float64) + 3 for _ in range(2))
    x.requires_grad_()
    compare, with_bands = comparison(dim), with_bands and dim != 0
    fused = compare(x, y, None, with_bands)
    parts = plain(compare)(x, y, with_bands)
    assert "_BandDistances" in type(fused[0].grad_fn).__name__
    for found, expected in zip(fused, parts, strict=True):
        if found is None or expected is None:
            assert found is expected
            continue
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-13)
        weights = torch.randn_like(expected)
        own, its = (
            torch.autograd.grad((weights * value).sum(), x, retain_graph=True)[0]
            for value in (found, expected)
        )
        torch.testing.assert_close(own, its, rtol=1e-9, atol=1e-12)


class Mirror(OrthogonalDecoupler):
    def low_part(self, size: int) -> Callable[[Tensor], Tensor]:
        return mirror_mean


def mirror_mean(x: Tensor) -> Tensor:
    return (x + x.flip(-1)) / 2


@pytest.mark.parametrize("split", [HaarDecoupler(2), Mirror(), DCTDecoupler()], ids=str)
def test_a_projection_may_keep_constants(
    split: OrthogonalDecoupler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_split, "LARGEST_MATRIX", 0)
    torch.manual_seed(0)
    x, y = (torch.randn(3, 9, dtype=torch.float64) + 3 for _ in range(2))
    x.requires_grad_()
    compare = BandComparison(split, nn.MSELoss(), LogMSELoss(), UnitLength())
    gradients = []
    for low, high, bands in (compare(x, y, None, True), plain(compare)(x, y, True)):
        assert bands is not None
        total = low + high + (bands * torch.arange(9)).sum()
        gradients.append(torch.autograd.grad(total, x)[0])
    torch.testing.assert_close(*gradients, rtol=1e-11, atol=1e-11)


def test_maps_whose_channels_come_last_in_memory_give_the_same() -> None:
    torch.manual_seed(0)
    x, y = (torch.randn(2, 8, 3, 5, dtype=torch.float64) for _ in range(2))
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        own = x.clone().to(memory_format=layout).requires_grad_()
        low, high, bands = comparison()(own, y, None, True)
        assert bands is not None
        (gradient,) = torch.autograd.grad(low + 2 * high + bands.square().sum(), own)
        results.append((low.detach(), high.detach(), bands.detach(), gradient))
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-11, atol=1e-13)


def test_first_and_second_derivatives_are_right() -> None:
    torch.manual_seed(0)
    x, y = (torch.randn(2, 7, dtype=torch.float64) for _ in range(2))
    x.requires_grad_()

    def values(student: Tensor) -> tuple[Tensor, ...]:
        low, high, bands = comparison()(student, y, None, True)
        assert bands is not None
        return low, high, bands[:, :2]

    assert torch.autograd.gradcheck(values, x)
    assert torch.autograd.gradgradcheck(values, x)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_a_sample_that_is_not_finite_stays_nan_and_alone(value: float) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(3, 16), torch.randn(3, 16)
    x[1, 4] = value
    x.requires_grad_()
    low, high, _ = comparison()(x, y)
    assert low.isnan()
    assert high.isnan()
    (gradient,) = torch.autograd.grad(low + high, x)
    assert gradient.isnan().all(1).tolist() == [False, True, False]
    assert gradient[[0, 2]].isfinite().all()
