"""Resample sound of any number of channels, and average them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdkd_lightning.data.preparation.container import pyav
from fdkd_lightning.data.preparation.media_error import MediaError

PLANES = 7
"""Most channels that PyAV converts to an array; with more it crashes."""

CHANNELS = 64
"""Most channels that FFmpeg resamples."""


class MonoResampler:
    """Resample a stream of audio frames as the mean of their channels.

    Rate and channels may change in the middle, as in files that were put together.

    Shape:
        - output: blocks of [S] float32
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.form: object = None
        self.resampler: Any = None

    def resample(self, frame: Any) -> list[NDArray[np.float32]]:
        """Return the sound that is ready after a frame."""
        form = frame.format.name, frame.layout.name, frame.layout.nb_channels, frame.sample_rate
        before = []
        if form != self.form:
            before = self.flush()
            channels = frame.layout.nb_channels
            if channels > CHANNELS:
                raise MediaError("undecodable", f"{channels} channels of sound: at most {CHANNELS}")
            # Keep the layout: FFmpeg's own downmix would be louder than the mean of the channels.
            packing = "fltp" if channels <= PLANES else "flt"
            self.resampler = pyav().AudioResampler(packing, frame.layout, self.rate)
            self.form = form
        return before + _means(self.resampler.resample(frame))

    def flush(self) -> list[NDArray[np.float32]]:
        """Return the rest of the sound."""
        return [] if self.resampler is None else _means(self.resampler.resample(None))


def _means(frames: Sequence[Any]) -> list[NDArray[np.float32]]:
    parts = []
    for frame in frames:
        if frame.format.is_planar:
            sound = frame.to_ndarray()
        else:
            channels = frame.layout.nb_channels
            values = np.frombuffer(frame.planes[0], np.float32, frame.samples * channels)
            sound = values.reshape(-1, channels).T
        parts.append(sound.mean(0, dtype=np.float32))
    return parts
