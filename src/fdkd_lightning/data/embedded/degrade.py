"""Making samples harder, each by its own random generator."""

import math

import numpy as np
from numpy.typing import NDArray

BABBLE_VOICES = 3
"""Utterances that speak at once in the noise."""

WHITE_SHARE = 0.2
"""Of the noise's power; the rest is babble, which is much harder to hear through."""


def degrade_picture(
    picture: NDArray[np.float32],
    rng: np.random.Generator,
    size: int = 32,
    shift: int = 2,
    noise: float = 0.5,
    occluder: int = 6,
) -> NDArray[np.float32]:
    """Move a picture about in a larger canvas, hide a square of it, add Gaussian noise.

    Args:
        picture: Values from 0 (paper) to 1 (ink).
        rng: The sample's own; each setting draws the same whatever the others are.
        size: Side of the canvas, pixels.
        shift: Largest distance from the centre along each axis, pixels.
        noise: Standard deviation.
        occluder: Side of the square, pixels; 0: none.

    Shape:
        - picture: [H, W]
        - output: [size, size]

    Example:
        >>> picture = np.ones((28, 28), np.float32)
        >>> degraded = degrade_picture(picture, np.random.default_rng(0), noise=0, occluder=0)
        >>> degraded.shape, int(degraded.sum()) == 28 * 28
        ((32, 32), True)
    """
    positions = rng.random(4)
    canvas = np.zeros((size, size), np.float32)
    height, width = picture.shape
    down, right = np.floor(positions[:2] * (2 * shift + 1)).astype(int) - shift
    top, left = (size - height) // 2 + down, (size - width) // 2 + right
    canvas[top : top + height, left : left + width] = picture
    top, left = np.floor(positions[2:] * (size - occluder + 1)).astype(int)
    canvas[top : top + occluder, left : left + occluder] = 0
    canvas += noise * rng.standard_normal((size, size), dtype=np.float32)
    return canvas


def babble_noise(
    clips: NDArray[np.float32], row: int, snr: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Noise for one clip: three other clips at once, and some white noise.

    Args:
        clips: All the clips that may be heard.
        row: The clip the noise is for, which is not heard in it.
        snr: Power of the clip from its first to its last sample that is not 0, over that of the
            noise, dB. So silence around a word does not make it harder to hear.
        rng: The sample's own.

    Shape:
        - clips: [N, S], N above 1, none of them silent
        - output: [S]

    Example:
        >>> clips = np.ones((4, 1000), np.float32)
        >>> noise = babble_noise(clips, 0, snr=10, rng=np.random.default_rng(0))
        >>> round(float((clips[0] ** 2).mean() / (noise**2).mean()), 3)
        10.0
    """
    # Any row but this one.
    others = (row + rng.integers(1, len(clips), BABBLE_VOICES)) % len(clips)
    delays = rng.integers(0, clips.shape[1], BABBLE_VOICES)
    babble = np.zeros(clips.shape[1], np.float32)
    for other, delay in zip(others, delays, strict=True):
        babble += np.roll(clips[other], delay)
    white = rng.standard_normal(clips.shape[1:], dtype=np.float32)
    noise = babble * math.sqrt((1 - WHITE_SHARE) / _power(babble))
    noise += white * math.sqrt(WHITE_SHARE / _power(white))
    heard = np.flatnonzero(clips[row])
    sounding = clips[row, heard[0] : heard[-1] + 1]
    noise *= math.sqrt(_power(sounding) / _power(noise) / 10 ** (snr / 10))
    return noise


def _power(x: NDArray[np.float32]) -> float:
    return float(np.mean(np.square(x, dtype=np.float64)))
