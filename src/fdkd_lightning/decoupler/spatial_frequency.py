"""A split over the positions of a map: low and high spatial frequencies of each channel."""

import math

import torch
from torch import Tensor

from fdkd_lightning.decoupler.base import Decoupler, check_threshold, split
from fdkd_lightning.ops.checks import check_flags
from fdkd_lightning.ops.tensor_checks import check_tensor
from fdkd_lightning.types import Bands


class SpatialFrequencyDecoupler(Decoupler):
    r"""Split each channel of a map into low and high spatial frequencies.

    .. math::
        F = \mathrm{rfft2}(x), \quad
        x_\mathrm{low} = \mathrm{irfft2}\big(F \cdot [|k_y| \le c_H, \, |k_x| \le c_W,
        \, k \ne 0]\big), \quad
        x_\mathrm{high} = x - \bar{x} - x_\mathrm{low}, \quad
        c_n = \lfloor \mathrm{threshold} \cdot \lfloor n / 2 \rfloor \rfloor

    The low frequencies are a centred rectangle of the shifted spectrum, whose sides are the given
    share of those of the whole. :math:`\bar x` is each channel's mean over the map. Nothing is
    lost: low + high = x - mean(x), or low + high = x with ``keep_dc``.

    Whether the FD-CMKD paper splits the maps of segmentation networks over the channels, as
    :class:`FrequencyDecoupler` does, or over the positions, is unknown: it writes only of the
    frequency domain of features. This form is that of FreqKD, which applies it to detection.

    Losses standardise the bands over the channels, axis 1, at each position.

    Args:
        threshold: Cut-off as a fraction of the non-zero frequencies of either axis, in (0, 1).
        keep_dc: Put the mean into the low band.

    Shape:
        - x: [N, D, H, W], H and W odd or even; [N, D, 1, L] for sequences
        - output: two tensors like x

    Raises:
        ValueError: If the threshold is outside (0, 1) or leaves the low band without a frequency,
            or x is no map.

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 1-3; FreqKD (arXiv 2606.11572), centred square of 0.5.

    Example:
        >>> x = torch.randn(2, 8, 5, 6)
        >>> low, high = SpatialFrequencyDecoupler()(x)
        >>> torch.allclose(low + high, x - x.mean((2, 3), keepdim=True), atol=1e-6)
        True
    """

    def __init__(self, threshold: float = 0.5, keep_dc: bool = False) -> None:
        super().__init__(dim=1)
        check_threshold(threshold)
        check_flags(keep_dc=keep_dc)
        self.threshold = threshold
        self.keep_dc = keep_dc

    def forward(self, x: Tensor) -> Bands:
        """Split ``x`` into its low and high band."""
        check_tensor("features", x, "[N, D, H, W]", 4)
        size = x.shape[2:]
        if 0 in x.shape[1:]:
            raise ValueError(f"features have shape {list(x.shape)}, without values: give some")
        # 0.29 * 100 is 28.999999999999996: without the epsilon the low band would lose a bin.
        cutoffs = [int(self.threshold * (n // 2) + 1e-9) for n in size]
        if not any(cutoffs):
            least = max(size) // 2
            remedy = (
                f"choose a threshold from {math.ceil(1e6 / least) / 1e6:g} to below 1"
                if least > 1
                else "give maps of at least 4 pixels along an axis"
            )
            raise ValueError(
                f"threshold={self.threshold} leaves the low band of maps of {list(size)} pixels "
                f"empty: {remedy}"
            )
        kept = _rectangle(size, cutoffs, x.device)

        def low_part(centred: Tensor) -> Tensor:
            spectrum = torch.fft.rfft2(centred.reshape(x.shape))
            result: Tensor = torch.fft.irfft2(spectrum * kept, s=size).flatten(2)
            return result

        low, high = split(x.flatten(2), 2, self.keep_dc, low_part)
        return Bands(low.reshape(x.shape), high.reshape(x.shape))

    def extra_repr(self) -> str:
        """Return the arguments for ``print(model)``."""
        return f"threshold={self.threshold}, keep_dc={self.keep_dc}"


def _rectangle(size: torch.Size, cutoffs: list[int], device: torch.device) -> Tensor:
    """Bins of the real 2-D transform up to the cut-offs, without the mean."""
    height, width = size
    rows = torch.arange(height, device=device)
    rows = torch.minimum(rows, height - rows)  # the frequencies without their sign
    columns = torch.arange(width // 2 + 1, device=device)
    kept = (rows <= cutoffs[0])[:, None] & (columns <= cutoffs[1])
    kept[0, 0] = False
    return kept
