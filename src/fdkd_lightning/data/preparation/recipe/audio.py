"""Sound: a waveform."""

import io
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from fdkd_lightning.data.preparation.media import read_audio
from fdkd_lightning.data.preparation.recipe.base import WHOLE, Generator, MediaRecipe, Part
from fdkd_lightning.ops.checks import check_range


class AudioRecipe(MediaRecipe):
    """A waveform, kept as 16-bit samples.

    Args:
        rate: Samples per second; other rates are resampled.
        seconds: Length of what is loaded; None: all there is, so that a batch of clips that differ
            is a list, as the published spectrograms take it.
        fill: What follows a shorter sound: ``"tile"`` the sound again, ``"zeros"`` silence.
        crop: Which part of a longer sound is loaded: ``"start"`` the first, ``"random"`` any in
            training and the middle in evaluation.

    Shape:
        - output: [S] float32, full scale is 1; S = round(seconds * rate), or the clip's own

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> AudioRecipe(rate=16000, seconds=3).blank().shape
        torch.Size([48000])
    """

    suffix: ClassVar[str] = ".npy"

    def __init__(
        self,
        rate: int = 16_000,
        seconds: float | None = 3.0,
        fill: Literal["tile", "zeros"] = "tile",
        crop: Literal["start", "random"] = "start",
    ) -> None:
        check_range("rate", rate, 1)
        if seconds is not None:
            check_range("seconds", seconds, 1 / rate)
        if fill not in ("tile", "zeros"):
            raise ValueError(f"fill={fill!r} must be 'tile' or 'zeros'")
        if crop not in ("start", "random"):
            raise ValueError(f"crop={crop!r} must be 'start' or 'random'")
        self.rate = rate
        self.samples = None if seconds is None else round(seconds * rate)
        self.fill = fill
        self.crop = crop

    def stored(self) -> dict[str, Any]:
        """The rate."""
        return {"rate": self.rate}

    def encode(self, path: Path, part: Part = WHOLE) -> bytes:
        """The whole segment as int16, which leaves 16-bit files of that rate as they are."""
        sound = read_audio(path, self.rate, part.start, part.duration)
        file = io.BytesIO()
        np.save(file, np.clip(np.rint(sound * 32768), -32768, 32767).astype("<i2"))
        return file.getvalue()

    def load(self, source: Path, rng: Generator) -> Tensor:
        """A waveform."""
        sound = np.load(source, allow_pickle=False)
        samples = len(sound) if self.samples is None else self.samples
        rest = len(sound) - samples
        if rest > 0:
            first = 0
            if self.crop == "random":
                first = rest // 2 if rng is None else int(rng.integers(rest + 1))
            sound = sound[first : first + samples]
        elif self.fill == "tile":
            sound = np.resize(sound, samples)
        else:
            sound = np.pad(sound, (0, -rest))
        return torch.from_numpy(sound.astype(np.float32) / 32768)

    def blank(self, rng: Generator = None) -> Tensor:
        """Silence, a second of it where the length is the clip's own."""
        return torch.zeros(self.rate if self.samples is None else self.samples)
