"""Recipe of audio."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from fdkd_lightning.data.preparation.media import LONGEST, read_audio
from fdkd_lightning.data.preparation.recipe.base import WHOLE, Generator, MediaRecipe, Part
from fdkd_lightning.ops.checks import check_choice, check_count, check_range

if TYPE_CHECKING:
    from torch import Tensor


class AudioRecipe(MediaRecipe):
    """Audio as a waveform, stored as 16-bit samples.

    Args:
        rate: Sampling rate, Hz; files with another rate are resampled.
        seconds: Length of the loaded waveform; None: the whole clip, so that a batch of clips of
            different lengths is a list, which the published spectrograms accept.
        fill: Continuation of a shorter clip: ``"tile"`` repeats it, ``"zeros"`` adds silence.
        crop: Part of a longer clip: ``"start"`` takes its beginning, ``"random"`` a random part in
            training and the middle in evaluation.
        longest: Longest clip to store, seconds; longer ones are refused. Decoding takes
            ``4 * rate * longest`` bytes.

    Shape:
        - output: [S] float32, full scale is 1; S = round(seconds * rate), or the length of the clip

    Raises:
        TypeError: If an argument has another type.
        ValueError: If an argument is out of range or unknown.

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
        longest: float = LONGEST,
    ) -> None:
        check_count("rate", rate, example=16_000)
        if seconds is not None:
            check_range("seconds", seconds, 1 / rate)
        check_choice("fill", fill, ("tile", "zeros"))
        check_choice("crop", crop, ("start", "random"))
        check_range("longest", longest, above=0)
        self.rate = rate
        self.samples = None if seconds is None else round(seconds * rate)
        self.fill = fill
        self.crop = crop
        self.longest = longest

    def stored(self) -> dict[str, Any]:
        """Return the sampling rate."""
        return {"rate": self.rate}

    def encode(self, path: Path, part: Part = WHOLE) -> bytes:
        """Decode the segment as int16, which is lossless for 16-bit files of the same rate."""
        sound = read_audio(path, self.rate, part.start, part.duration, self.longest)
        # In place: an hour of sound has no room for copies.
        sound *= 32768
        np.clip(np.rint(sound, out=sound), -32768, 32767, out=sound)
        file = io.BytesIO()
        np.save(file, sound.astype("<i2"))
        return file.getvalue()

    def load(self, source: Path, rng: Generator) -> "Tensor":
        """Load a waveform."""
        import torch

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

    def blank(self, rng: Generator = None) -> "Tensor":
        """Return silence, of one second if ``seconds`` is None."""
        import torch

        return torch.zeros(self.rate if self.samples is None else self.samples)
