"""Functions of all tensors in nested tuples."""

from collections.abc import Callable
from typing import Any

from torch import Tensor


def map_tensors(x: Any, function: Callable[[Tensor], Any]) -> Any:
    """Apply a function to each tensor of nested tuples; None stays None.

    Args:
        x: A tensor, None, or a tuple of these; named tuples keep their class.
        function: Called with the tensors, in their order.

    Example:
        >>> import torch
        >>> map_tensors((torch.ones(2), (None, torch.ones(3))), len)
        (2, (None, 3))
    """
    if x is None:
        return None
    if isinstance(x, Tensor):
        return function(x)
    parts = [map_tensors(part, function) for part in x]
    return x._make(parts) if hasattr(x, "_make") else tuple(parts)
