import numpy as np
import pytest

from fdkd_lightning.data.embedded.degrade import babble_noise, degrade_image

PICTURE = np.full((28, 28), 0.5, np.float32)


def clips() -> np.ndarray:
    """Eight words of 3,000 samples in the middle of a second."""
    sound = np.random.default_rng(0).normal(size=(8, 8000)).astype(np.float32)
    sound[:, :2500] = sound[:, 5500:] = 0
    return sound


def degrade(seed: int = 0, **settings: float) -> np.ndarray:
    return degrade_image(PICTURE, np.random.default_rng(seed), **settings)


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_the_picture_moves_up_to_shift(shift: int) -> None:
    corners = set()
    for seed in range(200):
        canvas = degrade(seed, shift=shift, noise=0, occluder=0)
        assert canvas.sum() == 0.5 * 28 * 28
        corners.add(tuple(np.argwhere(canvas)[0] - 2))
    span = range(-shift, shift + 1)
    assert corners == {(down, right) for down in span for right in span}


def test_the_occluder_hides_its_square() -> None:
    for seed in range(50):
        whole = degrade_image(np.ones((32, 32), np.float32), np.random.default_rng(seed), 32, 0, 0)
        assert whole.sum() == 32 * 32 - 6 * 6
        rows, columns = np.nonzero(whole == 0)
        assert np.ptp(rows) == np.ptp(columns) == 5


def test_the_noise_has_the_asked_sigma() -> None:
    noise = [degrade(seed, noise=0.3) - degrade(seed, noise=0) for seed in range(50)]
    assert np.std(noise) == pytest.approx(0.3, rel=0.02)
    assert np.mean(noise) == pytest.approx(0, abs=0.01)


def test_a_setting_leaves_what_the_others_draw() -> None:
    noise = degrade(noise=0.5) - degrade(noise=0)
    other = degrade(noise=0.5, occluder=0, shift=1) - degrade(noise=0, occluder=0, shift=1)
    np.testing.assert_allclose(noise, other, atol=1e-6)


@pytest.mark.parametrize("snr", [-5.0, 0.0, 5.0, 20.0])
def test_the_noise_has_the_asked_power(snr: float) -> None:
    noise = babble_noise(clips(), 3, snr, np.random.default_rng(1))
    word = clips()[3, 2500:5500]
    assert 10 * np.log10(np.mean(word**2) / np.mean(noise**2)) == pytest.approx(snr, abs=1e-3)


def test_a_clip_is_not_heard_in_its_own_noise() -> None:
    alone = np.zeros((5, 100), np.float32)
    alone[2] = 1
    alone[[0, 1, 3, 4], 50] = 1
    for seed in range(50):
        noise = babble_noise(alone, 2, 0, np.random.default_rng(seed))
        # Clip 2 would raise the noise's mean, the others and white noise hardly do.
        assert abs(noise.mean()) < 0.5
