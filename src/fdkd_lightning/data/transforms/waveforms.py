"""Waveforms: resampling, tiling and excerpts.

Clips of equal length arrive as one tensor [N, S]. Clips of different lengths arrive as a list of
[S], which these modules process clip by clip.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torchaudio
from torch import Tensor, nn

from fdkd_lightning.ops.checks import check_choice, check_count

Position = Literal["random", "center"]


def full_scale(waveform: Tensor) -> Tensor:
    """Convert floating-point or int16 samples to float32 with full scale 1.

    Shape:
        - waveform, output: any shape

    Raises:
        TypeError: If the waveform is no tensor.
        ValueError: If the samples are integers of another dtype, or complex.

    Example:
        >>> full_scale(torch.tensor([-32768, 16384], dtype=torch.int16))
        tensor([-1.0000,  0.5000])
    """
    if not isinstance(waveform, Tensor):
        raise TypeError(f"waveform is {type(waveform).__name__}: pass a tensor [N, S] or [S]")
    if waveform.dtype == torch.int16:
        return waveform.float() / 32768
    if not waveform.is_floating_point():
        raise ValueError(
            f"waveform is {waveform.dtype}: pass floating point with full scale 1, or torch.int16"
        )
    return waveform.float()


def check_samples(waveform: Tensor) -> None:
    """Raise unless a waveform is a tensor of one channel, with samples.

    Shape:
        - waveform: [N, S] or [S]
    """
    if not isinstance(waveform, Tensor):
        raise TypeError(f"waveform is {type(waveform).__name__}: pass a tensor [N, S] or [S]")
    if waveform.ndim not in (1, 2):
        raise ValueError(
            f"waveform has shape {list(waveform.shape)}: pass one channel, [N, S] or [S]"
        )
    if waveform.dtype != torch.int16 and not waveform.is_floating_point():
        raise ValueError(
            f"waveform is {waveform.dtype}: pass floating point with full scale 1, or torch.int16"
        )
    if not waveform.numel():
        raise ValueError(
            f"waveform has shape {list(waveform.shape)}, without samples: leave out such clips"
        )


class Resample(nn.Module):
    """Resample waveforms with the ``kaiser_best`` filter of librosa.

    librosa 0.10 and later use soxr's filter by default. The two differ near the lower of both
    Nyquist frequencies, and in the little energy they pass above it, which a logarithm makes
    visible.

    Args:
        sample_rate: Sampling rate of the input, Hz.
        new_rate: Sampling rate of the output, Hz; an equal rate leaves the input unchanged.

    Shape:
        - waveform: [N, S], or a list of [S] of different lengths
        - output: the same with S -> ceil(S * new_rate / sample_rate)

    Raises:
        TypeError: If a rate is no whole number.
        ValueError: If a rate is below 1, or waveforms have no samples or another shape.

    Example:
        >>> Resample(16_000, 22_050)(torch.zeros(2, 16_000)).shape
        torch.Size([2, 22050])
    """

    def __init__(self, sample_rate: int, new_rate: int) -> None:
        super().__init__()
        check_count("sample_rate", sample_rate, example=16_000)
        check_count("new_rate", new_rate, example=16_000)
        self.sample_rate = sample_rate
        self.filter: nn.Module = nn.Identity()
        if sample_rate != new_rate:
            self.filter = torchaudio.transforms.Resample(
                sample_rate,
                new_rate,
                resampling_method="sinc_interp_kaiser",
                # kaiser_best of librosa, in the parameters of torchaudio.
                lowpass_filter_width=64,
                rolloff=0.9475937167399596,
                beta=14.769656459379492,
            )

    def forward(self, waveform: Tensor | Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Resample the waveforms."""
        if not isinstance(waveform, Tensor):
            return [self._resample(clip) for clip in waveform]
        return self._resample(waveform)

    def _resample(self, waveform: Tensor) -> Tensor:
        check_samples(waveform)
        # Under autocast the convolution would give bfloat16.
        with torch.autocast(waveform.device.type, enabled=False):
            resampled: Tensor = self.filter(full_scale(waveform))
        return resampled


class Tile(nn.Module):
    """Repeat each clip up to a fixed length, truncate it there and clamp it to [-1, 1].

    The published codes write ``np.tile(samples, 3)`` or 10. The result is the same for every clip
    that these copies fill; for a shorter one they stop with an error. The clamp removes the
    overshoot of resampling.

    Args:
        length: Length of the output, samples.

    Shape:
        - waveform: [N, S], or a list of [S] of different lengths
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
        check_count("length", length, example=16_000)
        self.length = length

    def forward(self, waveform: Tensor | Sequence[Tensor]) -> Tensor:
        """Return the waveforms at the fixed length."""
        if not isinstance(waveform, Tensor):
            if not len(waveform):
                raise ValueError("waveform is an empty list: pass at least one clip [S]")
            return torch.stack([self._tile(clip) for clip in waveform])
        return self._tile(waveform)

    def _tile(self, waveform: Tensor) -> Tensor:
        check_samples(waveform)
        samples = waveform.shape[-1]
        # Truncate first: only the samples that are kept need to be converted.
        waveform = full_scale(waveform[..., : self.length])
        copies = -(-self.length // samples)
        tiled = torch.cat([waveform] * copies, dim=-1)[..., : self.length].clamp(-1, 1)
        # The clamp would make a sample of full scale of an infinite one.
        return tiled.masked_fill(waveform.isinf().any(-1, keepdim=True), torch.nan)


class Excerpt(nn.Module):
    """Cut an excerpt out of each clip, in training from a random position of its own.

    Args:
        length: Length of the output, samples.
        evaluation: Position of the excerpt in evaluation: ``"random"``, with which scores vary
            between runs, or ``"center"``.

    Shape:
        - waveform: [N, S], S at least ``length``
        - output: [N, length]

    Raises:
        ValueError: If ``length`` is below 1, ``evaluation`` is unknown, or the clips are too short.

    Example:
        >>> Excerpt(2, evaluation="center").eval()(torch.arange(6.0).expand(1, 6))
        tensor([[2., 3.]])
    """

    def __init__(self, length: int, evaluation: Position = "random") -> None:
        super().__init__()
        check_count("length", length, example=16_000)
        check_choice("evaluation", evaluation, get_args(Position))
        self.length = length
        self.evaluation = evaluation

    def forward(self, waveform: Tensor) -> Tensor:
        """Cut out the excerpts."""
        check_samples(waveform)
        if waveform.ndim != 2:
            raise ValueError(f"waveform has shape {list(waveform.shape)}: pass [N, S]")
        clips, samples = waveform.shape
        latest = samples - self.length
        if latest < 0:
            raise ValueError(f"waveform has {samples} samples: pass at least length={self.length}")
        if not self.training and self.evaluation == "center":
            return waveform[:, latest // 2 : latest // 2 + self.length]
        # Drawn on the CPU: the same positions on every device. The last position counts too.
        starts = torch.randint(latest + 1, (clips, 1)).to(waveform.device)
        return waveform.gather(1, starts + torch.arange(self.length, device=waveform.device))
