import re

import numpy as np
import pytest
import torch
from torch import Tensor

from fdkd_lightning.decoupler import (
    DCTDecoupler,
    Decoupler,
    FrequencyDecoupler,
    HaarDecoupler,
    LearnableFrequencyDecoupler,
    PermutedDecoupler,
    RandomOrthogonalDecoupler,
    WholeDecoupler,
)
from fdkd_lightning.decoupler.control import _permutation, _random_basis


def projectors(decoupler: Decoupler, size: int) -> tuple[np.ndarray, np.ndarray]:
    low, high = decoupler(torch.eye(size, dtype=torch.float64))
    return low.numpy(), high.numpy()


@pytest.mark.parametrize("threshold", [1 / 4, 1 / 3, 1 / 2, 0.8])
@pytest.mark.parametrize("size", [8, 9, 64, 65])
def test_random_bands_have_the_dimensions_of_frequency_bands(threshold: float, size: int) -> None:
    random, frequency = (
        projectors(kind(threshold), size)
        for kind in (RandomOrthogonalDecoupler, FrequencyDecoupler)
    )
    for own, other in zip(random, frequency, strict=True):
        # The trace of a projector is the dimension of its subspace.
        assert own.trace() == pytest.approx(round(other.trace()), abs=1e-10)
        np.testing.assert_allclose(own @ own, own, atol=1e-12)
        np.testing.assert_allclose(own, own.T, atol=1e-12)
        np.testing.assert_allclose(own.sum(0), 0, atol=1e-12)


def test_the_random_low_band_is_a_projection_on_centred_gaussian_vectors() -> None:
    x = np.random.default_rng(0).normal(loc=2, size=(3, 20))
    generator = torch.Generator().manual_seed(7)
    columns = torch.randn(20, 19, dtype=torch.float64, generator=generator).numpy()[:, :10]
    columns = columns - columns.mean(0)
    low = columns @ np.linalg.solve(columns.T @ columns, columns.T @ x.T)
    bands = RandomOrthogonalDecoupler(0.5, seed=7)(torch.from_numpy(x))
    np.testing.assert_allclose(bands.low, low.T, atol=1e-11)
    np.testing.assert_allclose(bands.high, x - x.mean(1, keepdims=True) - low.T, atol=1e-11)


def test_a_lower_threshold_gives_a_part_of_the_band() -> None:
    quarter, half = (
        projectors(RandomOrthogonalDecoupler(threshold), 64)[0] for threshold in (1 / 4, 1 / 2)
    )
    np.testing.assert_allclose(half @ quarter, quarter, atol=1e-12)


@pytest.mark.parametrize("control", ["random", "permuted"])
def test_no_frequency_is_preferred(control: str) -> None:
    size = 512
    decoupler = (
        RandomOrthogonalDecoupler()
        if control == "random"
        else PermutedDecoupler(FrequencyDecoupler())
    )
    n = torch.arange(size, dtype=torch.float64)
    tones = torch.cos(2 * torch.pi * torch.outer(torch.arange(1, size // 2), n) / size)
    share = (decoupler(tones).low.norm(dim=1) / tones.norm(dim=1)) ** 2
    # 256 of 511 dimensions: 0.5, with a standard deviation of about 0.03.
    assert share.mean().item() == pytest.approx(256 / 511, abs=0.005)
    assert ((share - 0.5).abs() < 0.2).all()


@pytest.mark.parametrize("kind", ["random", "permuted"])
def test_a_seed_means_the_same_split_again_and_another_seed_another(kind: str) -> None:
    def bands(seed: int, x: Tensor) -> Tensor:
        decoupler = (
            RandomOrthogonalDecoupler(seed=seed)
            if kind == "random"
            else PermutedDecoupler(FrequencyDecoupler(), seed)
        )
        return torch.stack([*decoupler(x)])

    x = torch.randn(2, 32, dtype=torch.float64)
    first = bands(5, x)
    # As in another process: nothing kept, the global generators elsewhere, another precision.
    _random_basis.cache_clear()
    _permutation.cache_clear()
    torch.rand(3)
    torch.testing.assert_close(bands(5, x.float()).double(), first, rtol=0, atol=1e-5)
    assert torch.equal(bands(5, x), first)
    assert (bands(6, x) - first).norm() > 0.1 * first.norm()


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
    for own, other in zip(
        PermutedDecoupler(FrequencyDecoupler())(x), FrequencyDecoupler()(x), strict=True
    ):
        assert (own - other).norm() > 0.5 * other.norm()


@pytest.mark.parametrize("dim", [1, -1])
def test_the_axis_terms_and_records_are_those_of_the_wrapped_split(dim: int) -> None:
    inner = LearnableFrequencyDecoupler(0.25, dim=dim)
    with torch.no_grad():
        inner.theta.fill_(1.0)
    decoupler = PermutedDecoupler(PermutedDecoupler(inner, seed=1), seed=2)
    assert decoupler.dim == dim
    assert decoupler.terms() == inner.terms() != {}
    assert decoupler.logged_values() == inner.logged_values() != {}
    assert [*decoupler.parameters()] == [inner.theta]
    assert PermutedDecoupler(HaarDecoupler()).terms() == {}


@pytest.mark.parametrize("threshold", [-0.5, 0, 1, float("nan")])
def test_a_threshold_outside_0_and_1_is_an_error(threshold: float) -> None:
    with pytest.raises(ValueError, match=rf"threshold={threshold} is outside \(0, 1\)"):
        RandomOrthogonalDecoupler(threshold)


@pytest.mark.parametrize("decoupler", [RandomOrthogonalDecoupler, FrequencyDecoupler])
@pytest.mark.parametrize(
    ("threshold", "size", "band"), [(0.3, 7, "low"), (0.001, 512, "low"), (1 - 1e-12, 8, "high")]
)
def test_an_empty_band_is_an_error_whose_remedy_works(
    decoupler: type[RandomOrthogonalDecoupler], threshold: float, size: int, band: str
) -> None:
    x = torch.ones(1, size)
    message = rf"threshold={threshold} .* {band} band of features of size {size} empty"
    with pytest.raises(ValueError, match=message) as caught:
        PermutedDecoupler(decoupler(threshold))(x)
    remedy = re.search(r"choose a threshold from (\S+) to below 1", str(caught.value))
    assert remedy is not None
    decoupler(float(remedy[1]))(x)


def test_the_arguments_are_shown() -> None:
    assert repr(RandomOrthogonalDecoupler(0.25, -1, 3, True)) == (
        "RandomOrthogonalDecoupler(threshold=0.25, dim=-1, seed=3, keep_dc=True)"
    )
    assert repr(PermutedDecoupler(HaarDecoupler(), seed=3)) == (
        "PermutedDecoupler(\n  seed=3\n"
        "  (decoupler): HaarDecoupler(levels=1, dim=1, keep_dc=False)\n)"
    )


@pytest.mark.parametrize(("shape", "dim"), [((3, 8), 1), ((2, 5, 9), -1), ((2, 6, 2, 3), 1)])
def test_without_a_split_the_low_band_is_all_but_the_mean(shape: tuple[int, ...], dim: int) -> None:
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    low, high = WholeDecoupler(dim)(x)
    torch.testing.assert_close(low, x - x.mean(dim, keepdim=True), rtol=0, atol=1e-14)
    assert torch.equal(high, torch.zeros_like(x))
    assert repr(WholeDecoupler(dim)) == f"WholeDecoupler(dim={dim})"
