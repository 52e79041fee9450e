"""Describe objects by their settings, in values that JSON can hold, for comparison."""

import hashlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

DEEPEST = 8
"""Objects within objects beyond this are described by their type alone."""


def describe(value: Any, depth: int = 0) -> Any:
    """Describe a value: plain values as they are, objects by class and public attributes.

    Tensors and arrays are described by a hash. Paths are left out: they say where something is, not
    what it is.

    Example:
        >>> describe({"scale": 2.0, "sizes": (3, 4)})
        {'scale': 2.0, 'sizes': [3, 4]}
        >>> describe(nn.Dropout(0.5))["p"]
        0.5
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        return tensor_sum({"": value})[:16]
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
    if isinstance(value, Path):
        return "a path"
    if isinstance(value, nn.ParameterDict | nn.ParameterList):
        return tensor_sum(dict(value.named_parameters()))[:16]
    if depth > DEEPEST:
        return type(value).__qualname__
    if isinstance(value, Mapping) and not isinstance(value, nn.Module):
        return {str(key): describe(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [describe(part, depth + 1) for part in value]
    if isinstance(value, set | frozenset):
        return sorted(json.dumps(describe(part, depth + 1), sort_keys=True) for part in value)
    if inspect.isroutine(value) or inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__}"
    return _describe_object(value, depth)


def tensor_sum(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors: names, dtypes, shapes and values.

    Example:
        >>> tensor_sum({"a": torch.zeros(2)}) == tensor_sum({"a": torch.zeros(1, 2)})
        False
    """
    total = hashlib.sha256()
    for name in sorted(tensors):
        x = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {x.dtype} {list(x.shape)}".encode())
        # As bytes: numpy knows no bfloat16.
        total.update(x.reshape(-1).view(torch.uint8).numpy().tobytes() if x.numel() else b"")
    return total.hexdigest()


def _describe_object(value: Any, depth: int) -> Any:
    found: dict[str, Any] = {"class": f"{type(value).__module__}.{type(value).__qualname__}"}
    for name, part in sorted(getattr(value, "__dict__", {}).items()):
        if not name.startswith("_") and name != "training":
            found[name] = describe(part, depth + 1)
    if isinstance(value, nn.Module):
        own = {**value._parameters, **value._buffers}
        tensors = {name: x for name, x in own.items() if x is not None}
        if tensors:
            found["tensors"] = tensor_sum(tensors)[:16]
        for name, part in value.named_children():
            found[name] = describe(part, depth + 1)
    return found
