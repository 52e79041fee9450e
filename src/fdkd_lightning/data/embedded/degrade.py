"""Degradations of images and sounds, drawn by one random generator per sample."""

import math

import numpy as np
from numpy.typing import NDArray

BABBLE_VOICES = 3
"""Number of utterances that are mixed into babble."""

WHITE_SHARE = 0.2
"""Fraction of white noise in the noise's power; the rest is babble, which masks speech more."""


def degrade_image(
    image: NDArray[np.float32],
    rng: np.random.Generator,
    size: int = 32,
    shift: int = 2,
    noise: float = 0.5,
    occluder: int = 6,
) -> NDArray[np.float32]:
    """Shift an image within a larger canvas, occlude a square of it and add Gaussian noise.

    Args:
        image: Values from 0 (paper) to 1 (ink).
        rng: Generator of this sample; the draws of one setting do not depend on the others.
        size: Side of the canvas in pixels.
        shift: Largest shift from the centre along each axis, in pixels.
        noise: Standard deviation of the noise, in units of the image's values.
        occluder: Side of the square in pixels; 0: no square.

    Shape:
        - image: [H, W]
        - output: [size, size]

    Example:
        >>> image = np.ones((28, 28), np.float32)
        >>> degraded = degrade_image(image, np.random.default_rng(0), noise=0, occluder=0)
        >>> degraded.shape, int(degraded.sum()) == 28 * 28
        ((32, 32), True)
    """
    positions = rng.random(4)
    canvas = np.zeros((size, size), np.float32)
    height, width = image.shape
    down, right = np.floor(positions[:2] * (2 * shift + 1)).astype(int) - shift
    top, left = (size - height) // 2 + down, (size - width) // 2 + right
    canvas[top : top + height, left : left + width] = image
    top, left = np.floor(positions[2:] * (size - occluder + 1)).astype(int)
    canvas[top : top + occluder, left : left + occluder] = 0
    canvas += noise * rng.standard_normal((size, size), dtype=np.float32)
    return canvas


def babble_noise(
    clips: NDArray[np.float32], row: int, snr: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Generate noise for one clip: babble of three other clips, and some white noise.

    Args:
        clips: The clips to mix into babble.
        row: Row of the clip that the noise is for; it is not part of the babble.
        snr: Signal-to-noise ratio in dB. The signal's power is that between the first and the last
            non-zero sample of the clip, so that silence around a word does not lower it.
        rng: Generator of this sample.

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
        # np.roll, without a copy.
        babble[delay:] += clips[other, : clips.shape[1] - delay]
        babble[:delay] += clips[other, clips.shape[1] - delay :]
    white = rng.standard_normal(clips.shape[1:], dtype=np.float32)
    noise = babble * math.sqrt((1 - WHITE_SHARE) / _power(babble))
    noise += white * math.sqrt(WHITE_SHARE / _power(white))
    heard = clips[row] != 0
    sounding = clips[row, heard.argmax() : len(heard) - heard[::-1].argmax()]
    noise *= math.sqrt(_power(sounding) / _power(noise) / 10 ** (snr / 10))
    return noise


def _power(x: NDArray[np.float32]) -> float:
    wide = x.astype(np.float64)  # np.square(x, dtype=np.float64) casts in small parts, more slowly
    return float(np.mean(np.square(wide, out=wide)))
