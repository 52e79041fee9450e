"""A split at a cut-off frequency in the cosine spectrum of the channels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fdkd_lightning.decoupler.base import OrthogonalDecoupler, check_threshold, last_low_bin
from fdkd_lightning.decoupler.frequency import low_pass
from fdkd_lightning.ops.linear_split import LowPart


class DCTDecoupler(OrthogonalDecoupler):
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
        super().__init__(dim, keep_dc)
        check_threshold(threshold)
        self.threshold = threshold

    def low_part(self, size: int) -> LowPart:
        """Return the projection onto the low frequencies."""
        return _MirroredLowPass(last_low_bin(self.threshold, size, size - 1, least=3))


@dataclass(frozen=True)
class _MirroredLowPass:
    cutoff: int

    def __call__(self, x: Tensor) -> Tensor:
        mirrored = torch.cat([x, x.flip(-1)], -1)
        return low_pass(mirrored, self.cutoff)[..., : x.shape[-1]]
