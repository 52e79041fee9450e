"""Apply the low part of a split along an axis, as a matrix product where that is faster."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache

import torch
from torch import Tensor

LowPart = Callable[[Tensor], Tensor]
"""Orthogonal projection of vectors, their axis last, onto the low band; constants become zero.

It is hashable, and equal ones compute the same: their matrices are kept. A frozen dataclass is, and
a named tuple is not: it equals that of any other class with the same values.
"""

LARGEST_MATRIX = 256
"""Largest D of a matrix product, by measurement on one core (milliseconds, product and FFT).

128 rows: D = 128 0.02 and 0.04, D = 256 0.11 and 0.07, D = 512 0.39 and 0.10. Maps, whose FFT has
to bring the channels together first: 2 x 64 x 1024 0.11 and 0.41, 2 x 256 x 256 0.45 and 0.43,
2 x 512 x 128 0.90 and 0.42.
"""


def apply_low_part(part: LowPart, x: Tensor, axis: int) -> Tensor:
    """Project vectors onto the low band.

    Args:
        part: The projection.
        x: Vectors of at least float32.
        axis: Their axis: -1, or -2 for maps whose positions are flattened.

    Shape:
        - x, output: [..., D] or [..., D, P]

    Example:
        >>> def pairs(x):
        ...     return x.unflatten(-1, (-1, 2)).mean(-1).repeat_interleave(2, -1)
        >>> apply_low_part(pairs, torch.tensor([[1.0, 3.0, -5.0, 1.0]]), -1)
        tensor([[ 2.,  2., -2., -2.]])
    """
    size = x.shape[axis]
    with _without_autocast(x.device.type):
        if size <= LARGEST_MATRIX and x.device.type == "cpu" and _are_products_exact():
            matrix = _matrix(part, size, x.dtype)
            return x @ matrix if axis == -1 else matrix @ x
        return part(x) if axis == -1 else part(x.movedim(axis, -1)).movedim(-1, axis)


# A tensor made in inference mode could not be used in training later: hence the mode is left.
@lru_cache(maxsize=8)
def _matrix(part: LowPart, size: int, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():
        # Symmetric, and without a part of constants: see LowPart.
        centred = torch.eye(size, dtype=torch.float64) - 1 / size
        return part(centred).to(dtype)


def _without_autocast(device: str) -> torch.autocast | nullcontext[None]:
    """Autocast would round products to half precision; some devices have no autocast."""
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


def _are_products_exact() -> bool:
    """Whether float32 products are not rounded: ``set_float32_matmul_precision`` may ask for it."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # raised where backends differ, so that one of them may round
        return False
