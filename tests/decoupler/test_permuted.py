import pytest
import torch

from fdkd_lightning.decoupler import (
    DCTDecoupler,
    Decoupler,
    FrequencyDecoupler,
    HaarDecoupler,
    LearnableFrequencyDecoupler,
    PermutedDecoupler,
)
from fdkd_lightning.decoupler.permuted import _permutation


@pytest.mark.parametrize(
    "inner",
    [
        FrequencyDecoupler(1 / 3),
        DCTDecoupler(1 / 4, keep_dc=True),
        HaarDecoupler(2),
        LearnableFrequencyDecoupler(0.4),
    ],
    ids=lambda inner: type(inner).__name__,
)
def test_channels_are_split_in_another_order_and_put_back(inner: Decoupler) -> None:
    x = torch.randn(3, 23, dtype=torch.float64)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(4))
    assert not torch.equal(order, torch.arange(23))
    for band, expected in zip(PermutedDecoupler(inner, seed=4)(x), inner(x[:, order]), strict=True):
        for position, channel in enumerate(order.tolist()):
            assert torch.equal(band[:, channel], expected[:, position])


def test_the_permuted_bands_are_other_bands() -> None:
    x = torch.randn(4, 64, dtype=torch.float64)
    for band, other in zip(
        PermutedDecoupler(FrequencyDecoupler())(x), FrequencyDecoupler()(x), strict=True
    ):
        assert (band - other).norm() > 0.5 * other.norm()


def test_no_frequency_is_preferred() -> None:
    size = 512
    n = torch.arange(size, dtype=torch.float64)
    tones = torch.cos(2 * torch.pi * torch.outer(torch.arange(1, size // 2), n) / size)
    low = PermutedDecoupler(FrequencyDecoupler())(tones).low
    share = (low.norm(dim=1) / tones.norm(dim=1)) ** 2
    # 256 of 511 dimensions: 0.5, with a standard deviation of about 0.03.
    assert share.mean().item() == pytest.approx(256 / 511, abs=0.005)
    assert ((share - 0.5).abs() < 0.2).all()


def test_a_seed_gives_the_same_split_again_and_another_seed_another() -> None:
    def bands(seed: int, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([*PermutedDecoupler(FrequencyDecoupler(), seed)(x)])

    x = torch.randn(2, 32, dtype=torch.float64)
    first = bands(5, x)
    # As on another rank: empty cache, other states of the global generators, another dtype.
    _permutation.cache_clear()
    torch.rand(3)
    torch.testing.assert_close(bands(5, x.float()).double(), first, rtol=0, atol=1e-5)
    assert torch.equal(bands(5, x), first)
    assert (bands(6, x) - first).norm() > 0.1 * first.norm()


@pytest.mark.parametrize("dim", [1, -1])
def test_axis_terms_and_logged_values_are_those_of_the_wrapped_split(dim: int) -> None:
    inner = LearnableFrequencyDecoupler(0.25, dim=dim)
    with torch.no_grad():
        inner.theta.fill_(1.0)
    decoupler = PermutedDecoupler(PermutedDecoupler(inner, seed=1), seed=2)
    assert decoupler.dim == dim
    assert decoupler.terms() == inner.terms() != {}
    assert decoupler.logged_values() == inner.logged_values() != {}
    assert [*decoupler.parameters()] == [inner.theta]
    assert PermutedDecoupler(HaarDecoupler()).terms() == {}


def test_an_empty_band_is_the_error_of_the_wrapped_split() -> None:
    with pytest.raises(ValueError, match=r"threshold=0\.3 .* low band of features of size 7 empty"):
        PermutedDecoupler(FrequencyDecoupler(0.3))(torch.ones(1, 7))


def test_the_arguments_are_shown() -> None:
    assert repr(PermutedDecoupler(HaarDecoupler(), seed=3)) == (
        "PermutedDecoupler(\n  seed=3\n"
        "  (decoupler): HaarDecoupler(levels=1, dim=1, keep_dc=False)\n)"
    )
