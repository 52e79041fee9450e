"""A split of mean-free vectors by its low part, with matrix products where they are faster."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

LowPart = Callable[[Tensor], Tensor]
"""Orthogonal projection of mean-free vectors, their axis last, onto the low band.

It is hashable, and equal ones compute the same: their matrices are kept. A frozen dataclass is, and
a named tuple is not: it equals that of any other class with the same values.
"""

LARGEST_MATRIX = 256
"""Largest D of a matrix product, by measurement on one core (milliseconds, product and FFT); with
both bands in one product it is faster for vectors, too.

128 rows: D = 128 0.02 and 0.04, D = 256 0.11 and 0.07, D = 512 0.39 and 0.10. Maps, whose FFT has
to bring the channels together first: 2 x 64 x 1024 0.11 and 0.41, 2 x 256 x 256 0.45 and 0.43,
2 x 512 x 128 0.90 and 0.42.
"""


class LinearSplit(NamedTuple):
    r"""A split of vectors without a mean by an orthogonal projection P, and its gradient.

    .. math:: x_\mathrm{low} = P x, \quad x_\mathrm{high} = x - P x

    Autocast rounds its products: see :func:`without_autocast`.

    Args:
        part: The projection.
        axis: The axis of the vectors: -1, or -2 for maps whose positions are flattened.
        matrices: P and the projection onto the high band, [2, D, D]; None: ``part`` is faster.

    Example:
        >>> def pairs(x):
        ...     return x.unflatten(-1, (-1, 2)).mean(-1).repeat_interleave(2, -1)
        >>> x = torch.tensor([[1.0, 3.0, -5.0, 1.0]])
        >>> LinearSplit.of(pairs, x, -1).low(x)
        tensor([[ 2.,  2., -2., -2.]])
    """

    part: LowPart
    axis: int
    matrices: Tensor | None

    @classmethod
    def of(cls, part: LowPart, x: Tensor, axis: int) -> "LinearSplit":
        """Return the split of vectors of this size, type and device, at least float32."""
        size = x.shape[axis]
        if size <= LARGEST_MATRIX and x.device.type == "cpu" and _are_products_exact():
            return cls(part, axis, _matrices(part, size, x.dtype))
        return cls(part if _leaves_no_constant(part, size) else _Centred(part), axis, None)

    def low(self, x: Tensor) -> Tensor:
        """Return the low band, which has no mean; x may have one, as gradients do.

        Shape:
            - x, output: [..., D] or [..., D, P]
        """
        if self.matrices is not None:
            return x @ self.matrices[0] if self.axis == -1 else self.matrices[0] @ x
        if self.axis == -1:
            return self.part(x)
        return self.part(x.movedim(self.axis, -1)).movedim(-1, self.axis)

    def write(self, x: Tensor, bands: Tensor) -> None:
        """Write the low, then the high band.

        Shape:
            - x: [..., D] or [..., D, P], contiguous
            - bands: [2, ...]
        """
        if self.matrices is not None and self.axis == -1 and bands.is_contiguous():
            size = x.shape[-1]
            rows = x.view(1, -1, size).expand(2, -1, -1)
            torch.bmm(rows, self.matrices, out=bands.view(2, -1, size))
            return
        low, high = bands.unbind()
        low.copy_(self.low(x))
        torch.sub(x, low, out=high)
        # What is left of a large mean, which is rounded at its own magnitude.
        subtract_mean(high, high, self.axis)

    def join(self, by_bands: Tensor) -> Tensor:
        r"""Return the gradient by vectors that have a mean, given those by their bands.

        .. math:: P g_\mathrm{low} + (I - P) (g_\mathrm{high} - \bar g_\mathrm{high})

        Args:
            by_bands: The gradients by the low, then the high bands.

        Shape:
            - by_bands: [2, N, D]
            - output: [N, D]
        """
        if self.matrices is not None:
            return torch.bmm(by_bands, self.matrices).sum(0)
        low, high = by_bands.unbind()
        return high - high.mean(-1, keepdim=True) + self.low(low - high)


def subtract_mean(x: Tensor, of: Tensor, axis: int) -> Tensor:
    """Subtract the mean of a tensor along an axis from another in place; return the sum.

    Example:
        >>> x = torch.tensor([[1.0, 2.0]])
        >>> subtract_mean(x, x, -1), x
        (tensor([[3.]]), tensor([[-0.5000,  0.5000]]))
    """
    total = of.sum(axis, keepdim=True)
    x.sub_(total, alpha=1 / of.shape[axis])
    return total


def without_autocast(device: torch.device) -> torch.autocast | nullcontext[None]:
    """Autocast would round products to half precision; some devices have no autocast."""
    kind = device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


@lru_cache(maxsize=64)
def _leaves_no_constant(part: LowPart, size: int) -> bool:
    with torch.inference_mode(False), torch.no_grad():
        return part(torch.ones(size, dtype=torch.float64, device="cpu")).abs().max().item() < 1e-6


@dataclass(frozen=True)
class _Centred:
    """A projection that is defined for mean-free vectors only, after taking off the mean."""

    part: LowPart

    def __call__(self, x: Tensor) -> Tensor:
        return self.part(x - x.mean(-1, keepdim=True))


# A tensor made in inference mode could not be used in training later: hence the mode is left.
@lru_cache(maxsize=8)
def _matrices(part: LowPart, size: int, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():
        # Without the constants, of which LowPart says nothing.
        centred = torch.eye(size, dtype=torch.float64, device="cpu") - 1 / size
        low = part(centred)
        return torch.stack((low, centred - low)).to(dtype)


def _are_products_exact() -> bool:
    """Whether float32 products are not rounded: ``set_float32_matmul_precision`` may ask for it."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # raised where backends differ, so that one of them may round
        return False
