import re

import numpy as np
import pytest
import torch

from fdkd_lightning.decoupler import Decoupler, FrequencyDecoupler, RandomOrthogonalDecoupler
from fdkd_lightning.decoupler.random_orthogonal import _random_basis


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
    for projector, other in zip(random, frequency, strict=True):
        # The trace of a projector is the dimension of its subspace.
        assert projector.trace() == pytest.approx(round(other.trace()), abs=1e-10)
        np.testing.assert_allclose(projector @ projector, projector, atol=1e-12)
        np.testing.assert_allclose(projector, projector.T, atol=1e-12)
        np.testing.assert_allclose(projector.sum(0), 0, atol=1e-12)


def test_the_low_band_is_a_projection_on_centred_gaussian_vectors() -> None:
    x = np.random.default_rng(0).normal(loc=2, size=(3, 20))
    generator = torch.Generator().manual_seed(7)
    columns = torch.randn(20, 19, dtype=torch.float64, generator=generator).numpy()[:, :10]
    columns = columns - columns.mean(0)
    low = columns @ np.linalg.solve(columns.T @ columns, columns.T @ x.T)
    bands = RandomOrthogonalDecoupler(0.5, seed=7)(torch.from_numpy(x))
    np.testing.assert_allclose(bands.low, low.T, atol=1e-11)
    np.testing.assert_allclose(bands.high, x - x.mean(1, keepdims=True) - low.T, atol=1e-11)


def test_the_band_of_a_lower_threshold_lies_within_that_of_a_higher_one() -> None:
    quarter, half = (
        projectors(RandomOrthogonalDecoupler(threshold), 64)[0] for threshold in (1 / 4, 1 / 2)
    )
    np.testing.assert_allclose(half @ quarter, quarter, atol=1e-12)


def test_no_frequency_is_preferred() -> None:
    size = 512
    n = torch.arange(size, dtype=torch.float64)
    tones = torch.cos(2 * torch.pi * torch.outer(torch.arange(1, size // 2), n) / size)
    low = RandomOrthogonalDecoupler()(tones).low
    share = (low.norm(dim=1) / tones.norm(dim=1)) ** 2
    # 256 of 511 dimensions: 0.5, with a standard deviation of about 0.03.
    assert share.mean().item() == pytest.approx(256 / 511, abs=0.005)
    assert ((share - 0.5).abs() < 0.2).all()


def test_a_seed_gives_the_same_split_again_and_another_seed_another() -> None:
    x = torch.randn(2, 32, dtype=torch.float64)
    first = torch.stack([*RandomOrthogonalDecoupler(seed=5)(x)])
    # As on another rank: empty cache, other states of the global generators, another dtype.
    _random_basis.cache_clear()
    torch.rand(3)
    narrow = torch.stack([*RandomOrthogonalDecoupler(seed=5)(x.float())])
    torch.testing.assert_close(narrow.double(), first, rtol=0, atol=1e-5)
    assert torch.equal(torch.stack([*RandomOrthogonalDecoupler(seed=5)(x)]), first)
    other = torch.stack([*RandomOrthogonalDecoupler(seed=6)(x)])
    assert (other - first).norm() > 0.1 * first.norm()


@pytest.mark.parametrize("threshold", [-0.5, 0, 1, float("nan")])
def test_a_threshold_outside_0_and_1_is_an_error(threshold: float) -> None:
    with pytest.raises(ValueError, match=rf"threshold={threshold} is outside \(0, 1\)"):
        RandomOrthogonalDecoupler(threshold)


@pytest.mark.parametrize(
    ("threshold", "size", "band"), [(0.3, 7, "low"), (0.001, 512, "low"), (1 - 1e-12, 8, "high")]
)
def test_an_empty_band_is_an_error_whose_remedy_works(
    threshold: float, size: int, band: str
) -> None:
    x = torch.ones(1, size)
    message = rf"threshold={threshold} .* {band} band of features of size {size} empty"
    with pytest.raises(ValueError, match=message) as caught:
        RandomOrthogonalDecoupler(threshold)(x)
    remedy = re.search(r"choose a threshold from (\S+) to below 1", str(caught.value))
    assert remedy is not None
    RandomOrthogonalDecoupler(float(remedy[1]))(x)


def test_the_arguments_are_shown() -> None:
    assert repr(RandomOrthogonalDecoupler(0.25, -1, 3, True)) == (
        "RandomOrthogonalDecoupler(threshold=0.25, dim=-1, seed=3, keep_dc=True)"
    )
