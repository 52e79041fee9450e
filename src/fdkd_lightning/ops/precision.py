"""Inputs in the type of the network that gets them."""

from typing import Any

from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn


def in_type_of(model: nn.Module, x: Any) -> Any:
    """An input's fractions in the type of the network's weights; tokens stay whole numbers.

    A teacher may be kept in half precision, and a "true" precision leaves networks in it.

    Example:
        >>> import torch
        >>> x = {"ids": torch.tensor([1]), "picture": torch.zeros(1)}
        >>> {name: part.dtype for name, part in in_type_of(nn.Linear(1, 1).half(), x).items()}
        {'ids': torch.int64, 'picture': torch.float16}
    """
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)
    if weight is None:
        return x
    dtype = weight.dtype
    return apply_to_collection(x, Tensor, lambda t: t.to(dtype) if t.is_floating_point() else t)
