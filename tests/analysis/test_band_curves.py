import pytest
import torch
from torch import Tensor

from fdkd_lightning.analysis.band_curves import BandPoint, band_curves
from fdkd_lightning.analysis.similarity import band_similarity


def features(size: int, rows: int = 30) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(size)
    x = torch.randn(rows, size, generator=generator, dtype=torch.float64)
    return x, x + torch.randn(rows, size, generator=generator, dtype=torch.float64)


def curve(points: list[BandPoint], variant: str, band: str) -> dict[float, BandPoint]:
    return {p.position: p for p in points if (p.variant, p.band) == (variant, band)}


@pytest.mark.parametrize("size", [12, 13])
def test_each_threshold_gives_the_similarity_of_the_split_bands(size: int) -> None:
    x, y = features(size)
    points = band_curves(x, y)
    low = curve(points, "without DC", "low")
    assert [*low] == [k / 6 for k in range(1, 6)]
    for threshold, point in low.items():
        expected = band_similarity(x, y, threshold)
        assert point.cosine == pytest.approx(expected.low)
        assert curve(points, "without DC", "high")[threshold].cosine == pytest.approx(expected.high)
        with_dc = band_similarity(x, y, threshold, keep_dc=True)
        assert curve(points, "with DC", "low")[threshold].cosine == pytest.approx(with_dc.low)
        # The mean is in the low band.
        assert with_dc.high == pytest.approx(expected.high)


def test_a_common_offset_makes_low_bands_alike_with_dc_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(50, 16, generator=generator) + 10 for _ in range(2))
    points = band_curves(x, y)
    assert min(p.cosine for p in curve(points, "with DC", "low").values()) > 0.95
    assert max(abs(p.cosine) for p in curve(points, "without DC", "low").values()) < 0.4
    assert curve(points, "with DC", "frequency")[0.0].cosine == pytest.approx(1)


def test_a_single_frequency_is_the_cosine_of_the_phase_difference() -> None:
    position = torch.arange(16) * 2 * torch.pi / 16
    x = torch.cos(3 * position).expand(4, 16)
    y = torch.cos(3 * position + torch.pi / 3).expand(4, 16)
    found = curve(band_curves(x, y), "without DC", "frequency")
    assert [*found] == [k / 8 for k in range(1, 9)]
    assert found[3 / 8].cosine == pytest.approx(0.5)


def test_the_intervals_contain_the_means_and_groups_widen_them() -> None:
    x, y = features(8)
    points = band_curves(x, y)
    assert all(p.low <= p.cosine <= p.high for p in points)
    # Three times the same pairs: persons with one gesture each.
    groups = torch.arange(10).repeat(3)
    repeated = band_curves(x[:10].repeat(3, 1), y[:10].repeat(3, 1), groups)
    alone = band_curves(x[:10].repeat(3, 1), y[:10].repeat(3, 1))
    for wide, narrow in zip(repeated, alone, strict=True):
        assert wide.cosine == narrow.cosine
        assert wide.high - wide.low >= narrow.high - narrow.low


def test_permuted_channels_of_noise_are_as_alike_as_ordered_ones() -> None:
    x, y = features(64, rows=200)
    points = band_curves(x, y)
    plain, mixed = (curve(points, v, "low")[0.5] for v in ("without DC", "channels permuted"))
    assert plain.low < mixed.cosine < plain.high


def test_of_many_frequencies_some_are_thresholds() -> None:
    x, y = features(400, rows=3)
    points = band_curves(x, y)
    assert 32 < len(curve(points, "without DC", "low")) <= 64
    assert len(curve(points, "without DC", "frequency")) == 200


@pytest.mark.parametrize("sizes", [(8, 9), (3, 3)])
def test_other_widths_are_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="one width, at least 4"):
        band_curves(torch.randn(5, sizes[0]), torch.randn(5, sizes[1]))
