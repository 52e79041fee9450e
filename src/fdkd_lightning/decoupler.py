"""Splitting features into a low and a high frequency band along one axis."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from fdkd_lightning.types import Bands


def frequency_split(
    x: Tensor, threshold: float = 0.5, dim: int = 1, keep_dc: bool = False
) -> Bands:
    r"""Split ``x`` into low and high frequencies along ``dim`` with a hard cut.

    .. math::
        F = \mathrm{rfft}(x), \quad
        x_\mathrm{low} = \mathrm{irfft}(F \cdot [1 \le k \le c]), \quad
        x_\mathrm{high} = x - \bar{x} - x_\mathrm{low}, \quad
        c = \lfloor \mathrm{threshold} \cdot \lfloor D / 2 \rfloor \rfloor

    Nothing is lost: low + high = x - mean(x), and low + high = x with ``keep_dc``. The transform
    runs in float32 (float64 for float64 input) whatever the autocast, for there is no bf16 FFT.

    The mean (bin 0, DC) is in neither band by default, as in the published code. It is not a
    detail: with it in the low band, two unrelated feature vectors that share a constant offset
    already look alike there.

    Args:
        x: Features of any rank.
        threshold: Cut-off as a fraction of the non-zero frequencies, in (0, 1).
        dim: The axis to split along, of size D, odd or even.
        keep_dc: Put the mean into the low band.

    Returns:
        The low and the high band.

    Shape:
        - x: [N, D], [N, D, H, W], [N, L, D] with ``dim=-1``, or any other
        - bands: as x

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
    _check_threshold(threshold)
    size = x.shape[dim]
    cut = _low_bins(threshold, size)
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    mean = x.mean(dim, keepdim=True)
    # Centred before the transform, so that a large mean costs the bands no precision; twice,
    # since the first mean is rounded at its own size.
    centred = x - mean
    rest = centred.mean(dim, keepdim=True)
    centred = centred - rest
    spectrum = torch.fft.rfft(centred, dim=dim).movedim(dim, -1)
    bins = torch.arange(size // 2 + 1, device=x.device)
    spectrum = spectrum * ((bins >= 1) & (bins <= cut))
    low = torch.fft.irfft(spectrum, n=size, dim=-1).movedim(-1, dim)
    high = centred - low
    return Bands(low + rest + mean if keep_dc else low, high)


class Decoupler(nn.Module, ABC):
    """Anything that splits features into two bands along its axis ``dim``.

    The losses know nothing else of a split: a subclass with another basis fits wherever
    :class:`FrequencyDecoupler` does.

    Args:
        dim: The axis to split along.
    """

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    @abstractmethod
    def forward(self, x: Tensor) -> Bands:
        """Split ``x`` into its low and high band."""


class FrequencyDecoupler(Decoupler):
    """:func:`frequency_split` as a module.

    Args:
        threshold: Cut-off as a fraction of the non-zero frequencies, in (0, 1).
        dim: The axis to split along.
        keep_dc: Put the mean into the low band.

    Shape:
        - x: any, D at ``dim``
        - bands: as x

    Raises:
        ValueError: If the threshold is outside (0, 1) or leaves a band without a frequency.

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 1-3.

    Example:
        >>> low, high = FrequencyDecoupler(threshold=0.25)(torch.randn(8, 512))
        >>> low.shape
        torch.Size([8, 512])
    """

    def __init__(self, threshold: float = 0.5, dim: int = 1, keep_dc: bool = False) -> None:
        super().__init__(dim)
        _check_threshold(threshold)
        self.threshold = threshold
        self.keep_dc = keep_dc

    def forward(self, x: Tensor) -> Bands:
        """Split ``x`` into its low and high band."""
        return frequency_split(x, self.threshold, self.dim, self.keep_dc)

    def extra_repr(self) -> str:
        """The arguments, for ``print(model)``."""
        return f"threshold={self.threshold}, dim={self.dim}, keep_dc={self.keep_dc}"


def _check_threshold(threshold: float) -> None:
    if not 0 < threshold < 1:
        raise ValueError(
            f"threshold={threshold} is outside (0, 1): it is the share of the non-zero "
            "frequencies that goes into the low band, for example 0.5"
        )


def _low_bins(threshold: float, size: int) -> int:
    """The last bin of the low band, of the bins 1..floor(size / 2)."""
    last = size // 2
    # 0.29 * 100 is 28.999999999999996: without the epsilon the cut would fall a bin short.
    cut = math.floor(threshold * last + 1e-9)
    if cut < 1 or cut >= last:
        band = "low" if cut < 1 else "high"
        remedy = (
            f"choose a threshold from {math.ceil(1e6 / last) / 1e6:g} to below 1"
            if last > 1
            else "features need a size of at least 4 to have two bands"
        )
        raise ValueError(
            f"threshold={threshold} leaves the {band} band of features of size {size} empty "
            f"(their non-zero frequencies are the bins 1..{last}): {remedy}"
        )
    return cut
