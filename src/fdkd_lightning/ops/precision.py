"""Casts between dtypes: at least float32 for arithmetic, the model's dtype for its inputs."""

from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn


def at_least_float32(x: Tensor) -> Tensor:
    """Cast half-precision tensors to float32; leave float32 and float64 unchanged.

    Half precision holds neither the sum of a few thousand squares nor the difference of two
    close logits.

    Example:
        >>> at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
        >>> at_least_float32(torch.zeros(1, dtype=torch.float64)).dtype
        torch.float64
    """
    if x.dtype in (torch.float32, torch.float64):
        return x
    return x.to(torch.promote_types(x.dtype, torch.float32))


def cast_to_model_dtype(model: nn.Module, x: Any) -> Any:
    """Cast floating-point tensors to the model's dtype; leave integer tensors unchanged.

    The dtype is that of the first floating-point parameter: half precision for a teacher that is
    kept in it, or under a "true" precision of the trainer. Without such a parameter ``x`` stays
    unchanged.

    Example:
        >>> x = {"ids": torch.tensor([1]), "image": torch.zeros(1)}
        >>> cast = cast_to_model_dtype(nn.Linear(1, 1).half(), x)
        >>> {name: part.dtype for name, part in cast.items()}
        {'ids': torch.int64, 'image': torch.float16}
    """
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)
    if weight is None:
        return x
    dtype = weight.dtype
    return apply_to_collection(x, Tensor, lambda t: t.to(dtype) if t.is_floating_point() else t)
