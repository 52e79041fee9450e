"""Log spectrograms of whole batches of waveforms, in float32 even under autocast."""

from typing import Literal, get_args

import torch
from scipy.signal import get_window
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram, Spectrogram

from fdkd_lightning.data.transforms.waveforms import check_samples, full_scale
from fdkd_lightning.ops.checks import check_choice, check_count, check_flags, check_range

PadMode = Literal["constant", "reflect"]


class LogMelSpectrogram(nn.Module):
    r"""Logarithm of a mel spectrogram.

    .. math::
        y = \log(\mathrm{mel}(x) + \mathrm{floor})

    With ``standardize`` this is followed by :math:`(y - \mathrm{mean}(y)) / \mathrm{std}(y)` over
    each clip, which makes the result independent of the recording level.

    Args:
        sample_rate: Sampling rate of the waveforms, Hz.
        n_fft: Window length, samples.
        hop_length: Step between frames, samples.
        n_mels: F, the number of mel bins.
        floor: Power added before the logarithm, relative to full scale.
        standardize: Scale each clip to mean 0 and standard deviation 1.

    Shape:
        - waveform: [N, S] or [S]
        - output: [N, 1, F, T] or [1, F, T], T = S // hop_length + 1

    Raises:
        ValueError: If an argument is out of range, or the waveform has another shape.

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
        _check_frames(n_fft, hop_length, floor)
        check_count("sample_rate", sample_rate, example=16_000)
        check_count("n_mels", n_mels, 1, n_fft // 2 + 1, example=32)
        _check_standardize(standardize, floor)
        self.mel = MelSpectrogram(
            sample_rate, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels, power=2.0
        )
        self.floor = floor
        self.standardize = standardize

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute the log spectrogram, with a channel dimension."""
        waveform = _single_channel(waveform, self.mel.n_fft // 2)
        # Under autocast the mel matrix product would give bfloat16.
        with torch.autocast(waveform.device.type, enabled=False):
            spectrogram: Tensor = (self.mel(waveform) + self.floor).log().unsqueeze(-3)
        return _standardize(spectrogram, correction=1) if self.standardize else spectrogram


class LogMagnitudeSpectrogram(nn.Module):
    r"""Logarithm of the magnitude of ``librosa.stft``.

    .. math::
        y = \ln(|\mathrm{stft}(x)| + \mathrm{floor})

    with the defaults of librosa: a periodic Hann window, and frames centred on every
    ``hop_length``-th sample of the clip.

    Args:
        n_fft: Window length, samples.
        hop_length: Step between frames, samples.
        floor: Magnitude added before the logarithm.
        pad_mode: Padding at both ends of the clip: ``"constant"`` (zeros, the default of librosa
            since 0.9) or ``"reflect"`` (its default before). Only the outermost frames differ.

    Shape:
        - waveform: [N, S] or [S]
        - output: [N, 1, F, T] or [1, F, T], F = n_fft // 2 + 1, T = S // hop_length + 1

    Raises:
        ValueError: If an argument is out of range, or the waveform has another shape.

    Example:
        >>> LogMagnitudeSpectrogram()(torch.randn(2, 66_150)).shape
        torch.Size([2, 1, 257, 188])
    """

    def __init__(
        self,
        n_fft: int = 512,
        hop_length: int = 353,
        floor: float = 1e-7,
        pad_mode: PadMode = "constant",
    ) -> None:
        super().__init__()
        _check_frames(n_fft, hop_length, floor)
        check_choice("pad_mode", pad_mode, get_args(PadMode))
        self.magnitude = Spectrogram(
            n_fft, hop_length=hop_length, power=1.0, center=True, pad_mode=pad_mode
        )
        self.floor = floor

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute the log spectrogram, with a channel dimension."""
        reflected = self.magnitude.n_fft // 2 if self.magnitude.pad_mode == "reflect" else 0
        magnitude: Tensor = self.magnitude(_single_channel(waveform, reflected))
        return (magnitude + self.floor).log().unsqueeze(-3)


class LogDensitySpectrogram(nn.Module):
    r"""Logarithm of the power spectral density of ``scipy.signal.spectrogram``.

    .. math::
        y_{ft} = \ln\Bigl(\frac{c_f\,|\mathrm{rfft}(w \cdot (x_t - \mathrm{mean}(x_t)))_f|^2}
        {\mathrm{sample\_rate}\,\sum w^2} + \mathrm{floor}\Bigr)

    with the defaults of scipy: w is a periodic Tukey window (0.25), each frame loses its mean,
    frames lie wholly within the clip, and c is 2, except 1 at zero and at the Nyquist frequency.
    With ``standardize`` each clip is then scaled to mean 0 and (population) standard deviation 1.

    Args:
        sample_rate: Sampling rate of the waveforms, Hz. The density and the floor are per Hz.
        n_fft: Window length, samples; ``nperseg`` of scipy.
        hop_length: Step between frames, samples; ``nperseg - noverlap`` of scipy.
        floor: Density added before the logarithm.
        standardize: Scale each clip to mean 0 and standard deviation 1.

    Shape:
        - waveform: [N, S] or [S], S at least n_fft
        - output: [N, 1, F, T] or [1, F, T], F = n_fft // 2 + 1, T = (S - n_fft) // hop_length + 1

    Raises:
        ValueError: If an argument is out of range, or the waveform has another shape or is shorter
            than a window.

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
        _check_frames(n_fft, hop_length, floor)
        check_count("sample_rate", sample_rate, example=16_000)
        _check_standardize(standardize, floor)
        self.sample_rate = sample_rate
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
        """Compute the log spectrogram, with a channel dimension."""
        waveform = _single_channel(waveform)
        if waveform.shape[-1] < self.n_fft:
            raise ValueError(
                f"waveform has {waveform.shape[-1]} samples: pass at least n_fft={self.n_fft}"
            )
        # torchaudio's Spectrogram cannot serve: scipy subtracts the mean of each frame before the
        # window is applied, and weights the two sides of the spectrum by frequency.
        frames = waveform.unfold(-1, self.n_fft, self.hop_length)
        frames = (frames - frames.mean(-1, keepdim=True)) * self.window
        density = torch.fft.rfft(frames).abs().square() * self.scale
        spectrogram = (density + self.floor).log().transpose(-2, -1).unsqueeze(-3)
        return _standardize(spectrogram, correction=0) if self.standardize else spectrogram


def _check_frames(n_fft: int, hop_length: int, floor: float) -> None:
    check_count("n_fft", n_fft, example=512)
    check_count("hop_length", hop_length, example=128)
    check_range("floor", floor, 0)


def _check_standardize(standardize: bool, floor: float) -> None:
    check_flags(standardize=standardize)
    if standardize and not floor:
        raise ValueError(
            f"floor={floor} turns silence into -inf, which standardize=True turns into NaN: choose "
            "a floor above 0, for example 1e-7"
        )


def _single_channel(waveform: Tensor, padding: int = 0) -> Tensor:
    check_samples(waveform)
    if waveform.shape[-1] <= padding:
        raise ValueError(
            f"waveform has {waveform.shape[-1]} samples: pass more than n_fft // 2 = {padding}, "
            "which are reflected at its ends"
        )
    return full_scale(waveform)


def _standardize(spectrogram: Tensor, correction: int) -> Tensor:
    std, mean = torch.std_mean(spectrogram, dim=(-2, -1), correction=correction, keepdim=True)
    # Without the minimum a silent clip would become amplified rounding noise.
    return (spectrogram - mean) / std.clamp(min=1e-3)
