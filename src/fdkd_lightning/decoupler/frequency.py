"""The paper's split: low and high frequencies of the channels' Fourier spectrum."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.decoupler.base import (
    OrthogonalDecoupler,
    check_features,
    check_threshold,
    last_low_bin,
    split,
)
from fdkd_lightning.ops.checks import check_flags
from fdkd_lightning.ops.linear_split import LowPart
from fdkd_lightning.types import Bands


def frequency_split(
    x: Tensor, threshold: float = 0.5, dim: int = 1, keep_dc: bool = False
) -> Bands:
    r"""Split ``x`` into low and high frequencies along ``dim`` at a cut-off frequency.

    .. math::
        F = \mathrm{rfft}(x), \quad
        x_\mathrm{low} = \mathrm{irfft}(F \cdot [1 \le k \le c]), \quad
        x_\mathrm{high} = x - \bar{x} - x_\mathrm{low}, \quad
        c = \lfloor \mathrm{threshold} \cdot \lfloor D / 2 \rfloor \rfloor

    Nothing is lost: low + high = x - mean(x), or low + high = x with ``keep_dc``. The transform
    runs in float32 (float64 for float64 input), under autocast too: there is no bf16 FFT.

    The mean (bin 0, DC) is in neither band by default, as in the published code. This matters: with
    the mean in the low band, two unrelated feature vectors that share a constant offset have
    similar low bands.

    Args:
        x: Features of any number of dimensions.
        threshold: Cut-off as a fraction of the non-zero frequencies, in (0, 1).
        dim: The axis to split along, of size D, odd or even.
        keep_dc: Put the mean into the low band.

    Returns:
        The low and the high band.

    Shape:
        - x: [N, D], [N, D, H, W], [N, L, D] with ``dim=-1``, or any other shape
        - output: two tensors like x

    Raises:
        ValueError: If the threshold is outside (0, 1) or leaves a band without a frequency.

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 1-3, cut-off 1/2.

    Example:
        >>> x = torch.tensor([[1.0, 2.0, 0.0, 5.0]])
        >>> low, high = frequency_split(x)
        >>> torch.allclose(low + high, x - x.mean())
        True
    """
    check_threshold(threshold)
    check_flags(keep_dc=keep_dc)
    check_features(x, dim)
    size = x.shape[dim]
    cutoff = last_low_bin(threshold, size, size // 2)
    return split(x, dim, keep_dc, LowPass(cutoff))


class FrequencyDecoupler(OrthogonalDecoupler):
    """Module form of :func:`frequency_split`.

    Args:
        threshold: Cut-off as a fraction of the non-zero frequencies, in (0, 1).
        dim: The axis to split along, of size D, odd or even.
        keep_dc: Put the mean into the low band.

    Shape:
        - x: [N, D, ...], or D at ``dim``
        - output: two tensors like x

    Raises:
        ValueError: If the threshold is outside (0, 1) or leaves a band without a frequency.

    Example:
        >>> low, high = FrequencyDecoupler(threshold=0.25)(torch.randn(8, 512))
        >>> low.shape
        torch.Size([8, 512])
    """

    def __init__(self, threshold: float = 0.5, dim: int = 1, keep_dc: bool = False) -> None:
        super().__init__(dim, keep_dc)
        check_threshold(threshold)
        self.threshold = threshold

    def low_part(self, size: int) -> LowPart:
        """Return the projection onto the low frequencies."""
        return LowPass(last_low_bin(self.threshold, size, size // 2))


@dataclass(frozen=True)
class LowPass:
    """:func:`low_pass` with its cut-off bin.

    Example:
        >>> LowPass(1)(torch.tensor([1.0, -1.0, 1.0, -1.0]))
        tensor([0., 0., 0., 0.])
    """

    cutoff: int

    def __call__(self, x: Tensor) -> Tensor:
        """Keep the bins 1..cutoff."""
        return low_pass(x, self.cutoff)


def filtered(x: Tensor, gain: Tensor) -> Tensor:
    """Multiply each bin of the real Fourier transform by its gain.

    Shape:
        - x, output: [..., D]
        - gain: [D // 2 + 1]
    """
    result: Tensor = torch.fft.irfft(torch.fft.rfft(x) * gain, n=x.shape[-1])
    return result


def low_pass(x: Tensor, cutoff: int) -> Tensor:
    """Keep the bins 1..cutoff of the real Fourier transform.

    Shape:
        - x, output: [..., D]
    """
    kept = torch.fft.rfft(x)[..., 1 : cutoff + 1]
    # The transform fills up the higher bins with zeros.
    result: Tensor = torch.fft.irfft(F.pad(kept, (1, 0)), n=x.shape[-1])
    return result
