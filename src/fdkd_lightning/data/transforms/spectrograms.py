"""Spectrograms of whole batches of waveforms, on the device, in float32 whatever autocast says."""

from typing import Literal

import torch
from scipy.signal import get_window
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram

from fdkd_lightning.data.transforms.waveforms import full_scale


class LogMelSpectrogram(nn.Module):
    r"""The logarithm of a mel spectrogram.

    .. math::
        y = \log(\mathrm{mel}(x) + \mathrm{floor})

    with ``standardize`` followed by :math:`(y - \mathrm{mean}(y)) / \mathrm{std}(y)` over each
    clip, which makes the result independent of the recording's level.

    Args:
        sample_rate: Samples per second.
        n_fft: Samples of a window.
        hop_length: Samples from one frame to the next.
        n_mels: F.
        floor: Power added before the logarithm, where full scale is 1.
        standardize: Give each clip mean 0 and standard deviation 1.

    Shape:
        - waveform: [N, S] or [S]
        - output: [N, 1, F, T] or [1, F, T], T = S // hop_length + 1

    Raises:
        ValueError: If the waveform has neither of these shapes.

    Example:
        >>> LogMelSpectrogram()(torch.randn(2, 8000)).shape
        torch.Size([2, 1, 32, 63])
    """

    def __init__(
        self,
        sample_rate: int = 8000,
        n_fft: int = 256,
        hop_length: int = 128,
        n_mels: int = 32,
        floor: float = 1e-4,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.mel = MelSpectrogram(
            sample_rate, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels, power=2.0
        )
        self.floor = floor
        self.standardize = standardize

    def forward(self, waveform: Tensor) -> Tensor:
        """The spectrogram, with a channel axis."""
        waveform = _one_channel(waveform)
        # Inside autocast the mel matrix product gives bfloat16.
        with torch.autocast(waveform.device.type, enabled=False):
            spectrogram: Tensor = (self.mel(waveform) + self.floor).log().unsqueeze(-3)
        return _standardize(spectrogram, correction=1) if self.standardize else spectrogram


class LogMagnitudeSpectrogram(nn.Module):
    r"""The logarithm of the magnitude of ``librosa.stft``.

    .. math::
        y = \ln(|\mathrm{stft}(x)| + \mathrm{floor})

    with librosa's defaults: a periodic Hann window, frames centred on every ``hop_length``-th
    sample of the clip.

    Args:
        n_fft: Samples of a window.
        hop_length: Samples from one frame to the next.
        floor: Magnitude added before the logarithm.
        pad_mode: What lies beyond the clip's ends: ``"constant"``, zeros, librosa's default since
            0.9, or ``"reflect"``, its default before; only the outermost frames differ.

    Shape:
        - waveform: [N, S] or [S]
        - output: [N, 1, F, T] or [1, F, T], F = n_fft // 2 + 1, T = S // hop_length + 1

    Raises:
        ValueError: If the waveform has neither of these shapes.

    Example:
        >>> LogMagnitudeSpectrogram()(torch.randn(2, 66_150)).shape
        torch.Size([2, 1, 257, 188])
    """

    window: Tensor

    def __init__(
        self,
        n_fft: int = 512,
        hop_length: int = 353,
        floor: float = 1e-7,
        pad_mode: Literal["constant", "reflect"] = "constant",
    ) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.floor = floor
        self.pad_mode = pad_mode
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """The spectrogram, with a channel axis."""
        stft = torch.stft(
            _one_channel(waveform),
            self.n_fft,
            self.hop_length,
            window=self.window,
            pad_mode=self.pad_mode,
            return_complex=True,
        )
        return (stft.abs() + self.floor).log().unsqueeze(-3)


class LogDensitySpectrogram(nn.Module):
    r"""The logarithm of the power spectral density of ``scipy.signal.spectrogram``.

    .. math::
        y_{ft} = \ln\Bigl(\frac{c_f\,|\mathrm{rfft}(w \cdot (x_t - \mathrm{mean}(x_t)))_f|^2}
        {\mathrm{sample\_rate}\,\sum w^2} + \mathrm{floor}\Bigr)

    with scipy's defaults: w is a periodic Tukey window (0.25), each frame loses its mean, frames
    lie wholly within the clip, and c is 2, but 1 at zero and at Nyquist's frequency. With
    ``standardize`` each clip is then brought to mean 0 and (population) standard deviation 1.

    Args:
        sample_rate: Samples per second. The density is per Hz, and so is the floor.
        n_fft: Samples of a window; scipy's ``nperseg``.
        hop_length: Samples from one frame to the next; scipy's ``nperseg - noverlap``.
        floor: Density added before the logarithm.
        standardize: Give each clip mean 0 and standard deviation 1.

    Shape:
        - waveform: [N, S] or [S], S at least n_fft
        - output: [N, 1, F, T] or [1, F, T], F = n_fft // 2 + 1, T = (S - n_fft) // hop_length + 1

    Raises:
        ValueError: If the waveform has neither of these shapes.

    Example:
        >>> LogDensitySpectrogram(sample_rate=22_050)(torch.randn(2, 160_000)).shape
        torch.Size([2, 1, 257, 1004])
    """

    window: Tensor
    scale: Tensor

    def __init__(
        self,
        sample_rate: int,
        n_fft: int = 512,
        hop_length: int = 159,
        floor: float = 1e-7,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.floor = floor
        self.standardize = standardize
        window = torch.from_numpy(get_window(("tukey", 0.25), n_fft))
        sides = torch.full((n_fft // 2 + 1,), 2.0, dtype=torch.float64)
        sides[0] = 1
        if n_fft % 2 == 0:
            sides[-1] = 1
        scale = sides / (sample_rate * window.square().sum())
        self.register_buffer("window", window.float(), persistent=False)
        self.register_buffer("scale", scale.float(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """The spectrogram, with a channel axis."""
        waveform = _one_channel(waveform)
        if waveform.shape[-1] < self.n_fft:
            raise ValueError(
                f"waveform has {waveform.shape[-1]} samples: give at least n_fft={self.n_fft}"
            )
        frames = waveform.unfold(-1, self.n_fft, self.hop_length)
        frames = (frames - frames.mean(-1, keepdim=True)) * self.window
        density = torch.fft.rfft(frames).abs().square() * self.scale
        spectrogram = (density + self.floor).log().transpose(-2, -1).unsqueeze(-3)
        return _standardize(spectrogram, correction=0) if self.standardize else spectrogram


def _one_channel(waveform: Tensor) -> Tensor:
    if waveform.ndim not in (1, 2):
        raise ValueError(
            f"waveform has shape {list(waveform.shape)}: give [N, S] or [S], one channel"
        )
    return full_scale(waveform)


def _standardize(spectrogram: Tensor, correction: int) -> Tensor:
    std, mean = torch.std_mean(spectrogram, dim=(-2, -1), correction=correction, keepdim=True)
    # Silence stays 0 instead of rounding noise.
    return (spectrogram - mean) / std.clamp(min=1e-3)
