import re

import numpy as np
import pytest
import torch
from torch import Tensor

from fdkd_lightning.decoupler import LearnableFrequencyDecoupler, frequency_split


def by_hand(
    x: np.ndarray, cutoff: float, temperature: float, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Project on each frequency's cosine and sine, and share the result by the sigmoid."""
    low, high, last = np.zeros_like(x), np.zeros_like(x), size // 2
    for k in range(1, last + 1):
        angles = 2 * np.pi * k * np.arange(size) / size
        part = np.zeros_like(x)
        for wave in (np.cos(angles), np.sin(angles)):
            energy = sum(wave**2)
            if energy > 1e-9:  # no sine at Nyquist
                part += np.outer(x @ wave, wave) / energy
        gain = 1 / (1 + np.exp((k / last - cutoff) / temperature))
        low += gain * part
        high += (1 - gain) * part
    return low, high


def at(cutoff: float, **options: float) -> LearnableFrequencyDecoupler:
    """A split whose cut-off has wandered off."""
    decoupler = LearnableFrequencyDecoupler(**options).double()  # type: ignore[arg-type]
    share = (cutoff - decoupler.margin) / (1 - 2 * decoupler.margin)
    with torch.no_grad():
        decoupler.theta.fill_(np.log(share / (1 - share)))
    return decoupler


@pytest.mark.parametrize("size", [7, 8, 64, 101])
@pytest.mark.parametrize("cutoff", [0.1, 1 / 3, 0.5, 0.9])
@pytest.mark.parametrize("temperature", [0.01, 0.05, 1.0])
def test_a_sigmoid_shares_each_frequency(size: int, cutoff: float, temperature: float) -> None:
    x = np.random.default_rng(size).normal(loc=2, size=(3, size))
    bands = at(cutoff, temperature=temperature)(torch.from_numpy(x))
    for band, expected in zip(bands, by_hand(x, cutoff, temperature, size), strict=True):
        np.testing.assert_allclose(band.detach(), expected, rtol=0, atol=1e-10)


def test_a_split_worked_out_by_hand() -> None:
    # x - 2 is [1/2, -3/2, -1/2, 3/2], bin 1 at k/K = 1/2, plus [-3/2, 3/2, -3/2, 3/2], bin 2 at 1.
    # At c = 1/2 the first is shared equally; with s = 1/(2 log 3) the second has a gain of 1/4.
    decoupler = LearnableFrequencyDecoupler(temperature=1 / (2 * np.log(3)))
    low, high = decoupler(torch.tensor([[1.0, 2.0, 0.0, 5.0]]))
    first, second = np.array([0.5, -1.5, -0.5, 1.5]), np.array([-1.5, 1.5, -1.5, 1.5])
    np.testing.assert_allclose(low.detach(), [first / 2 + second / 4], atol=1e-6)
    np.testing.assert_allclose(high.detach(), [first / 2 + 3 / 4 * second], atol=1e-6)


@pytest.mark.parametrize(
    ("threshold", "size"), [(1 / 4, 15), (1 / 3, 512), (1 / 2, 14), (0.501, 64)]
)
def test_a_hard_cut_is_its_limit(threshold: float, size: int) -> None:
    x = torch.randn(4, size, dtype=torch.float64) + 3
    decoupler = LearnableFrequencyDecoupler(threshold, temperature=1e-5).double()
    for keep_dc in (False, True):
        decoupler.keep_dc = keep_dc
        hard = frequency_split(x, threshold, keep_dc=keep_dc)
        for band, expected in zip(decoupler(x), hard, strict=True):
            torch.testing.assert_close(band, expected, rtol=0, atol=1e-10)


def test_a_bin_at_the_cut_off_is_shared_half_and_half() -> None:
    x = torch.cos(2 * torch.pi * 128 * torch.arange(512, dtype=torch.float64) / 512)[None]
    for band in LearnableFrequencyDecoupler(0.5, temperature=1e-5).double()(x):
        torch.testing.assert_close(band, x / 2, rtol=0, atol=1e-7)


@pytest.mark.parametrize("threshold", [1 / 4, 1 / 3, 1 / 2, 0.94])
@pytest.mark.parametrize("margin", [0.01, 0.05])
def test_the_cut_off_begins_at_the_threshold_without_a_penalty(
    threshold: float, margin: float
) -> None:
    decoupler = LearnableFrequencyDecoupler(threshold, margin=margin)
    assert decoupler.cutoff.item() == pytest.approx(threshold, abs=1e-6)
    assert decoupler.logged_values()["threshold"].item() == pytest.approx(threshold, abs=1e-6)
    assert decoupler.terms()["cutoff"].item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("margin", [0.05, 0.2])
@pytest.mark.parametrize("size", [64, 512])
def test_however_far_theta_goes_both_bands_keep_their_ends(margin: float, size: int) -> None:
    decoupler = LearnableFrequencyDecoupler(margin=margin)
    waves = torch.cos(
        2 * torch.pi * torch.outer(torch.tensor([1, size // 2]), torch.arange(size)) / size
    )
    for theta, cutoff in ((-1e4, margin), (1e4, 1 - margin)):
        with torch.no_grad():
            decoupler.theta.fill_(theta)
        assert decoupler.cutoff.item() == pytest.approx(cutoff, abs=1e-6)
        low, high = decoupler(waves)
        # At least half of the lowest frequency is low, of the highest high.
        assert low[0].norm() > waves[0].norm() / 2
        assert high[1].norm() > waves[1].norm() / 2


def test_the_penalty_grows_with_the_squared_distance_from_the_threshold() -> None:
    for cutoff, strength, penalty in ((0.7, 0.1, 0.004), (0.2, 0.1, 0.009), (0.2, 2.0, 0.18)):
        terms = at(cutoff, strength=strength).terms()
        assert terms.keys() == {"cutoff"}
        assert terms["cutoff"].item() == pytest.approx(penalty, abs=1e-12)
    assert at(0.2, threshold=0.25).terms()["cutoff"].item() == pytest.approx(0.1 * 0.05**2)
    assert at(0.2, strength=0).terms()["cutoff"].item() == 0


def settled(decoupler: LearnableFrequencyDecoupler, loss: bool) -> float:
    """Where the cut-off comes to rest if the low band is to be as small as possible."""
    x = torch.randn(16, 64, generator=torch.Generator().manual_seed(0)).double()
    optimizer = torch.optim.SGD(decoupler.parameters(), lr=0.5)
    for _ in range(400):
        low: Tensor = decoupler(x).low
        optimizer.zero_grad()
        total: Tensor = (low**2).mean() * loss + decoupler.terms()["cutoff"]
        total.backward()
        optimizer.step()
    return decoupler.cutoff.item()


def test_the_cut_off_is_learned_and_the_penalty_keeps_it() -> None:
    free, held, firm = (settled(at(0.5, strength=s), loss=True) for s in (0.0, 2.0, 20.0))
    assert 0.05 < free < 0.1 < held < 0.4 < firm < 0.5
    # Alone, it leads back.
    assert settled(at(0.2, threshold=0.6, strength=1), loss=False) == pytest.approx(0.6, abs=1e-3)


def test_gradients_by_the_cut_off() -> None:
    decoupler = LearnableFrequencyDecoupler(0.4, temperature=0.1).double()
    x = torch.randn(2, 9, dtype=torch.float64, requires_grad=True)

    def outputs(x: Tensor, theta: Tensor) -> tuple[Tensor, ...]:
        bands: tuple[Tensor, Tensor] = torch.func.functional_call(decoupler, {"theta": theta}, x)
        return bands

    theta = decoupler.theta.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(outputs, (x, theta))
    # What the low band gains, the high one loses.
    low, high = (
        torch.autograd.grad(outputs(x.detach(), theta)[i].square().sum(), theta)[0] for i in (0, 1)
    )
    assert low > 0 > high


def test_the_state_is_theta() -> None:
    moved = at(0.3)
    assert moved.state_dict().keys() == {"theta"}
    assert moved.theta.shape == (1,)
    other = LearnableFrequencyDecoupler().double()
    other.load_state_dict(moved.state_dict())
    assert other.cutoff.item() == pytest.approx(0.3, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 1.0}, "threshold=1.0 is outside (0, 1)"),
        ({"threshold": float("nan")}, "threshold=nan is outside (0, 1)"),
        ({"temperature": 0}, "temperature=0 must be above 0"),
        ({"temperature": -0.1}, "temperature=-0.1 must be above 0"),
        ({"margin": 0}, "margin=0 must be above 0 and below 0.5"),
        ({"margin": 0.5}, "margin=0.5 must be above 0 and below 0.5"),
        (
            {"threshold": 0.2, "margin": 0.2},
            "threshold=0.2 is not between margin=0.2 and 0.8, where the cut-off is kept: choose a "
            "smaller margin",
        ),
        ({"threshold": 0.99}, "threshold=0.99 is not between margin=0.05 and 0.95"),
        ({"strength": -1}, "strength=-1 must be at least 0"),
        ({"temperature": float("nan")}, "temperature=nan must be above 0"),
        ({"strength": float("nan")}, "strength=nan must be at least 0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        LearnableFrequencyDecoupler(**arguments)  # type: ignore[arg-type]


def test_the_arguments_are_shown() -> None:
    assert repr(LearnableFrequencyDecoupler(0.25, keep_dc=True)) == (
        "LearnableFrequencyDecoupler(threshold=0.25, temperature=0.05, dim=1, keep_dc=True, "
        "margin=0.05, strength=0.1)"
    )
