"""Transforms of whole batches, run on the device."""

import torch
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram


class LogMelSpectrogram(nn.Module):
    r"""The logarithm of a mel spectrogram, in float32 whatever autocast says.

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
        if waveform.ndim not in (1, 2):
            raise ValueError(
                f"waveform has shape {list(waveform.shape)}: give [N, S] or [S], one channel"
            )
        # Inside autocast the mel matrix product gives bfloat16.
        with torch.autocast(waveform.device.type, enabled=False):
            spectrogram: Tensor = (self.mel(waveform.float()) + self.floor).log().unsqueeze(-3)
            if self.standardize:
                std, mean = torch.std_mean(spectrogram, dim=(-2, -1), keepdim=True)
                # Silence stays 0 instead of rounding noise.
                spectrogram = (spectrogram - mean) / std.clamp(min=1e-3)
        return spectrogram
