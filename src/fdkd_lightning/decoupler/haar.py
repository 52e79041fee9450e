"""A wavelet split: means of neighbouring channels, and the differences from them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fdkd_lightning.decoupler.base import OrthogonalDecoupler
from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.ops.linear_split import LowPart

MOST_LEVELS = 30
"""With more levels a block is larger than any feature vector."""


class HaarDecoupler(OrthogonalDecoupler):
    r"""Split features into the Haar approximation after J levels and the details of these levels.

    .. math::
        x_\mathrm{low}(n) = \frac{1}{|B(n)|} \sum_{i \in B(n)} x(i) - \bar{x}, \quad
        x_\mathrm{high}(n) = x(n) - \frac{1}{|B(n)|} \sum_{i \in B(n)} x(i)

    B(n) is the block of :math:`2^J` neighbours that contains channel n. If the block size does not
    divide D, the remaining channels form a shorter block at the end: low + high = x - mean(x) still
    holds, and the bands stay orthogonal.

    Each level halves the low band: with one level it has D/2 - 1 dimensions, about as many as
    :class:`FrequencyDecoupler` at a threshold of 1/2; with two levels D/4 - 1.

    Args:
        levels: J, the number of levels, at least 1.
        dim: The axis to split along, of size D, odd or even.
        keep_dc: Put the mean into the low band.

    Shape:
        - x: [N, D, ...], or D at ``dim``; D above :math:`2^J`
        - output: two tensors like x

    Raises:
        ValueError: If ``levels`` is below 1, or one block contains all channels, which leaves the
            low band empty.

    Reference:
        S. Mallat, "A theory for multiresolution signal decomposition: the wavelet
        representation", IEEE TPAMI, 1989.

    Example:
        >>> low, high = HaarDecoupler(keep_dc=True)(torch.tensor([[1.0, 3.0, 5.0, 5.0, 6.0]]))
        >>> low, high
        (tensor([[2., 2., 5., 5., 6.]]), tensor([[-1.,  1.,  0.,  0.,  0.]]))
    """

    def __init__(self, levels: int = 1, dim: int = 1, keep_dc: bool = False) -> None:
        super().__init__(dim, keep_dc)
        check_count("levels", levels, 1, MOST_LEVELS)
        self.levels = levels

    def low_part(self, size: int) -> LowPart:
        """Return the projection onto vectors that are constant on each block."""
        block = 2**self.levels
        if block >= size:
            most = (size - 1).bit_length() - 1
            remedy = (
                f"choose levels from 1 to {most}"
                if most > 0
                else "features need a size of at least 3 to have two bands"
            )
            raise ValueError(
                f"levels={self.levels} leaves the low band of features of size {size} empty (its "
                f"blocks have {block} channels): {remedy}"
            )
        return _BlockMeans(block)


@dataclass(frozen=True)
class _BlockMeans:
    block: int

    def __call__(self, x: Tensor) -> Tensor:
        block = self.block
        whole = x.shape[-1] - x.shape[-1] % block
        parts = [x[..., :whole].reshape(*x.shape[:-1], whole // block, block)]
        if whole < x.shape[-1]:
            parts.append(x[..., None, whole:])
        return torch.cat([p.mean(-1, keepdim=True).expand_as(p).flatten(-2) for p in parts], -1)
