"""Waveforms brought to one rate and one length.

Clips of one length come as a tensor [N, S]; clips of different lengths come as a list of [S], on
which these modules work clip by clip.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torchaudio
from torch import Tensor, nn


def full_scale(waveform: Tensor) -> Tensor:
    """Samples as float32 with full scale 1.

    Args:
        waveform: Floats, which keep their values, or int16, whose full scale is 32,768.

    Shape:
        - waveform: [...]
        - output: the same

    Raises:
        ValueError: If the samples are integers of another size.

    Example:
        >>> full_scale(torch.tensor([-32768, 16384], dtype=torch.int16))
        tensor([-1.0000,  0.5000])
    """
    if waveform.dtype == torch.int16:
        return waveform.float() / 32768
    if not waveform.is_floating_point():
        raise ValueError(
            f"waveform is {waveform.dtype}: give floats with full scale 1, or torch.int16"
        )
    return waveform.float()


class Resample(nn.Module):
    """Waveforms at another rate, as librosa's ``kaiser_best`` makes them.

    librosa 0.10 and later take soxr's filter by default. The two differ near the lower of both
    Nyquist frequencies, and above it in what little they let through, which logarithms show.

    Args:
        sample_rate: Samples per second of what comes.
        new_rate: Samples per second of what goes; the same: nothing is done.

    Shape:
        - waveform: [N, S], or a list of [S] that may differ in length
        - output: the same with S -> ceil(S * new_rate / sample_rate)

    Example:
        >>> Resample(16_000, 22_050)(torch.zeros(2, 16_000)).shape
        torch.Size([2, 22050])
    """

    def __init__(self, sample_rate: int, new_rate: int) -> None:
        super().__init__()
        self.filter: nn.Module = nn.Identity()
        if sample_rate != new_rate:
            self.filter = torchaudio.transforms.Resample(
                sample_rate,
                new_rate,
                resampling_method="sinc_interp_kaiser",
                # librosa's kaiser_best in torchaudio's words.
                lowpass_filter_width=64,
                rolloff=0.9475937167399596,
                beta=14.769656459379492,
            )

    def forward(self, waveform: Tensor | Sequence[Tensor]) -> Tensor | list[Tensor]:
        """The waveforms at the new rate."""
        if not isinstance(waveform, Tensor):
            return [self._resample(clip) for clip in waveform]
        return self._resample(waveform)

    def _resample(self, waveform: Tensor) -> Tensor:
        # Inside autocast the convolution gives bfloat16.
        with torch.autocast(waveform.device.type, enabled=False):
            resampled: Tensor = self.filter(full_scale(waveform))
        return resampled


class Tile(nn.Module):
    """Each clip repeated until it is long enough, cut to one length and limited to [-1, 1].

    The published codes write ``np.tile(samples, 3)`` or 10, which is the same for every clip that
    these copies suffice for; for a shorter one they stop with an error. The limit meets what
    resampling overshoots.

    Args:
        length: Samples of the output.

    Shape:
        - waveform: [N, S], or a list of [S] that may differ in length
        - output: [N, length]

    Raises:
        ValueError: If ``length`` is below 1, or a clip has no samples.

    Example:
        >>> Tile(5)([torch.tensor([0.1, 0.2]), torch.tensor([0.3, 4.0, 0.0])])
        tensor([[0.1000, 0.2000, 0.1000, 0.2000, 0.1000],
                [0.3000, 1.0000, 0.0000, 0.3000, 1.0000]])
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        if length < 1:
            raise ValueError(f"length={length} must be at least 1")
        self.length = length

    def forward(self, waveform: Tensor | Sequence[Tensor]) -> Tensor:
        """The waveforms, all of one length."""
        if not isinstance(waveform, Tensor):
            return torch.stack([self._tile(clip) for clip in waveform])
        return self._tile(waveform)

    def _tile(self, waveform: Tensor) -> Tensor:
        samples = waveform.shape[-1]
        if not samples:
            raise ValueError(
                f"waveform has shape {list(waveform.shape)}, no samples: leave such clips out"
            )
        # Cut first: of a long clip only what is kept is converted.
        waveform = full_scale(waveform[..., : self.length])
        copies = -(-self.length // samples)
        return torch.cat([waveform] * copies, dim=-1)[..., : self.length].clamp(-1, 1)


class Excerpt(nn.Module):
    """A stretch of each clip: from a random place of its own in training.

    Args:
        length: Samples of the output.
        evaluation: Where the stretch lies when nothing is trained: ``"random"``, with which
            scores vary from run to run, or ``"center"``.

    Shape:
        - waveform: [N, S], S at least ``length``
        - output: [N, length]

    Raises:
        ValueError: If ``evaluation`` is neither of the two, or the clips are too short.

    Example:
        >>> Excerpt(2, evaluation="center").eval()(torch.arange(6.0).expand(1, 6))
        tensor([[2., 3.]])
    """

    def __init__(self, length: int, evaluation: Literal["random", "center"] = "random") -> None:
        super().__init__()
        if evaluation not in ("random", "center"):
            raise ValueError(f"evaluation={evaluation!r} must be 'random' or 'center'")
        self.length = length
        self.evaluation = evaluation

    def forward(self, waveform: Tensor) -> Tensor:
        """The stretches."""
        clips, samples = waveform.shape
        latest = samples - self.length
        if latest < 0:
            raise ValueError(f"waveform has {samples} samples: give at least length={self.length}")
        if not self.training and self.evaluation == "center":
            return waveform[:, latest // 2 : latest // 2 + self.length]
        # Drawn on the CPU: the same positions whatever the device. The last place counts too.
        starts = torch.randint(latest + 1, (clips, 1)).to(waveform.device)
        return waveform.gather(1, starts + torch.arange(self.length, device=waveform.device))
