"""Kaldi filter bank features for whole batches."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.compliance import kaldi

from fdkd_lightning.data.transforms.waveforms import full_scale
from fdkd_lightning.ops.checks import check_count, check_range

FRAME_LENGTH, FRAME_SHIFT = 25.0, 10.0
"""Milliseconds."""


class KaldiFbank(nn.Module):
    r"""Log mel filter bank of Kaldi, normalized by the statistics of a data set.

    .. math::
        y = \frac{\mathrm{fbank}(x) - \mathrm{mean}}{2\,\mathrm{std}}

    with the settings of AST and its successors: frames of 25 ms every 10 ms, a symmetric Hann
    window, no dither, no energy. A clip with more than ``length`` frames loses its end; a shorter
    one is padded with zeros before the normalization. As everywhere in this package, F comes
    before T; AST itself takes the transpose.

    Args:
        mean: Mean of the features over the data set.
        std: Standard deviation of the features over the data set.
        sample_rate: Sampling rate of the waveforms, Hz.
        n_mels: F, the number of mel bins.
        length: T, the number of frames.

    Shape:
        - waveform: [N, S], or a list of [S] of different lengths; each at least 25 ms
        - output: [N, 1, F, T]

    Raises:
        ValueError: If an argument is out of range, or a clip has another shape or is shorter than
            a frame.

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
        check_range("mean", mean)
        check_range("std", std, above=0)
        # A shift of FRAME_SHIFT needs at least one sample.
        check_count("sample_rate", sample_rate, 100, example=16_000)
        check_count("n_mels", n_mels, example=128)
        check_count("length", length, example=1024)
        self.mean = mean
        self.std = std
        self.sample_rate = sample_rate
        self.n_mels = n_mels
        self.length = length

    def forward(self, waveform: Tensor | Sequence[Tensor]) -> Tensor:
        """Compute the features, with a channel dimension."""
        if isinstance(waveform, Tensor) and not waveform.ndim:
            raise ValueError("waveform is a single number: pass [N, S], or a list of [S]")
        if not len(waveform):
            raise ValueError("waveform has no clips: pass at least one")
        frames = [self._frames(clip) for clip in waveform]
        # kaldi.fbank takes one clip a call. Its frames are independent of each other, so the
        # frames of all clips, concatenated without overlap, are one waveform for a single call.
        # The published code subtracts the mean of the clip first. That has no effect, as Kaldi
        # subtracts the mean of each frame.
        concatenated = torch.cat(frames).reshape(1, -1)
        # Under autocast the mel matrix product would give bfloat16.
        with torch.autocast(concatenated.device.type, enabled=False):
            fbank: Tensor = kaldi.fbank(
                concatenated,
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
        """Cut a clip into at most ``length`` frames, [T, samples of a frame]."""
        # Rounded as Kaldi rounds.
        size, shift = (int(self.sample_rate * ms * 0.001) for ms in (FRAME_LENGTH, FRAME_SHIFT))
        if not isinstance(clip, Tensor):
            raise TypeError(f"a clip is {type(clip).__name__}: pass tensors [S]")
        if clip.ndim != 1 or len(clip) < size:
            raise ValueError(
                f"a clip has shape {list(clip.shape)}: pass [S] with at least {size} samples "
                f"({FRAME_LENGTH:g} ms), and leave out shorter clips"
            )
        return full_scale(clip).unfold(0, size, shift)[: self.length]
