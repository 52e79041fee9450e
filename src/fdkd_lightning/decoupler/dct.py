"""A split at a cut-off frequency in the cosine spectrum of the channels."""

import torch
from torch import Tensor

from fdkd_lightning.decoupler.base import (
    Decoupler,
    check_features,
    check_threshold,
    last_low_bin,
    split,
)
from fdkd_lightning.decoupler.frequency import low_pass
from fdkd_lightning.ops.checks import check_flags
from fdkd_lightning.types import Bands


class DCTDecoupler(Decoupler):
    r"""Split features into low and high frequencies of the orthonormal DCT-II.

    .. math::
        x_\mathrm{low} = \sum_{k=1}^{c} \langle x, u_k \rangle \, u_k, \quad
        u_k(n) = \sqrt{2 / D} \cos\Big(\frac{\pi k (2 n + 1)}{2 D}\Big), \quad
        x_\mathrm{high} = x - \bar{x} - x_\mathrm{low}, \quad
        c = \lfloor \mathrm{threshold} \cdot (D - 1) \rfloor

    The Fourier transform treats the last and the first channel as neighbours; the cosine transform
    does not. Coefficient 0 is the mean. Coefficient k has half the frequency of bin k of
    :func:`frequency_split`, so the same threshold gives bands of the same number of dimensions, up
    to one.

    It is computed as the Fourier split of the features followed by their mirror image. This takes
    no D x D matrix, and no matrix product that autocast or TF32 would round.

    Args:
        threshold: Cut-off as a fraction of the coefficients 1..D-1, in (0, 1).
        dim: The axis to split along, of size D, odd or even.
        keep_dc: Put the mean into the low band.

    Shape:
        - x: [N, D, ...], or D at ``dim``
        - output: two tensors like x

    Raises:
        ValueError: If the threshold is outside (0, 1) or leaves a band without a coefficient.

    Reference:
        N. Ahmed, T. Natarajan, K. R. Rao, "Discrete cosine transform", IEEE Transactions on
        Computers, 1974.

    Example:
        >>> ramp = torch.arange(8.0)[None]
        >>> low, high = DCTDecoupler(threshold=0.25)(ramp)
        >>> round((low.norm() / (low + high).norm()).item(), 2)
        0.99
    """

    def __init__(self, threshold: float = 0.5, dim: int = 1, keep_dc: bool = False) -> None:
        super().__init__(dim)
        check_threshold(threshold)
        check_flags(keep_dc=keep_dc)
        self.threshold = threshold
        self.keep_dc = keep_dc

    def forward(self, x: Tensor) -> Bands:
        """Split ``x`` into its low and high band."""
        check_features(x, self.dim)
        size = x.shape[self.dim]
        cutoff = last_low_bin(self.threshold, size, size - 1, least=3)

        def low_part(centred: Tensor) -> Tensor:
            mirrored = torch.cat([centred, centred.flip(-1)], -1)
            return low_pass(mirrored, cutoff)[..., :size]

        return split(x, self.dim, self.keep_dc, low_part)
