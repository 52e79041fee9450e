"""Kaldi's filter bank features, of whole batches."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.compliance import kaldi

from fdkd_lightning.data.transforms.waveforms import full_scale

FRAME_LENGTH, FRAME_SHIFT = 25.0, 10.0
"""Milliseconds."""


class KaldiFbank(nn.Module):
    r"""Kaldi's log mel filter bank, normalised by the mean and deviation of a data set.

    .. math::
        y = \frac{\mathrm{fbank}(x) - \mathrm{mean}}{2\,\mathrm{std}}

    with the settings of AST and of what came after it: frames of 25 ms every 10 ms, a symmetric
    Hann window, no dither, no energy. A clip with more than ``length`` frames loses its end; one
    with fewer is filled up with zeros before it is normalised. As everywhere here F comes before
    T; AST itself takes the transpose.

    Args:
        sample_rate: Samples per second.
        mean: Mean of the data set's features.
        std: Their standard deviation.
        n_mels: F.
        length: T.

    Shape:
        - waveform: [N, S], or a list of [S] that may differ in length; each of 25 ms or more
        - output: [N, 1, F, T]

    Raises:
        ValueError: If a clip has another shape or is shorter than a frame.

    Reference:
        Gong et al., "AST: Audio Spectrogram Transformer" (arXiv:2104.01778), YuanGongND/ast
        src/dataloader.py.

    Example:
        >>> KaldiFbank(mean=-4.2677393, std=4.5689974)(torch.randn(2, 16_000)).shape
        torch.Size([2, 1, 128, 1024])
    """

    def __init__(
        self,
        mean: float,
        std: float,
        sample_rate: int = 16_000,
        n_mels: int = 128,
        length: int = 1024,
    ) -> None:
        super().__init__()
        self.mean = mean
        self.std = std
        self.sample_rate = sample_rate
        self.n_mels = n_mels
        self.length = length

    def forward(self, waveform: Tensor | Sequence[Tensor]) -> Tensor:
        """The features, with a channel axis."""
        frames = [self._frames(clip) for clip in waveform]
        # Kaldi's frames know nothing of each other: those of all clips, laid end to end, are one
        # waveform whose frames do not overlap. What the published code takes off first, the mean
        # of the clip, is in the mean that Kaldi takes off each frame.
        whole = torch.cat(frames).reshape(1, -1)
        # Inside autocast the mel matrix product gives bfloat16.
        with torch.autocast(whole.device.type, enabled=False):
            fbank: Tensor = kaldi.fbank(
                whole,
                sample_frequency=self.sample_rate,
                frame_length=FRAME_LENGTH,
                frame_shift=FRAME_LENGTH,
                num_mel_bins=self.n_mels,
                window_type="hanning",
                htk_compat=True,
                use_energy=False,
                dither=0.0,
            )
        clips = torch.split(fbank, [len(clip) for clip in frames])
        padded = [F.pad(clip, (0, 0, 0, self.length - len(clip))) for clip in clips]
        features = torch.stack(padded).transpose(-2, -1).unsqueeze(1)
        return (features - self.mean) / (2 * self.std)

    def _frames(self, clip: Tensor) -> Tensor:
        """The samples of each frame that is kept."""
        # Rounded as Kaldi rounds.
        size, shift = (int(self.sample_rate * ms * 0.001) for ms in (FRAME_LENGTH, FRAME_SHIFT))
        if clip.ndim != 1 or len(clip) < size:
            raise ValueError(
                f"a clip has shape {list(clip.shape)}: give [S] with at least {size} samples, "
                f"{FRAME_LENGTH:g} ms, and leave shorter ones out"
            )
        return full_scale(clip).unfold(0, size, shift)[: self.length]
