"""Run a network, and explain why it does not take an input."""

import re
from typing import Any

import torch
from torch import Tensor, nn

OF_TYPES = re.compile(r"dtype|scalar type|type \(.*\) should be the same|not implemented for")
"""Text in torch's errors about dtypes."""


def run_network(model: nn.Module, x: Any) -> Any:
    """Return what a network returns for an input.

    An error is explained only once it occurs, which costs nothing where there is none.

    Args:
        model: The network.
        x: Its input.

    Raises:
        TypeError: If the input is a list of tensors of several sizes, and the network does not take
            lists; or a tensor of another dtype than its weights, and it takes no other.

    Example:
        >>> run_network(nn.Linear(2, 1), torch.zeros(3, 2, dtype=torch.uint8))
        Traceback (most recent call last):
        TypeError: Linear has weights of torch.float32, but its input is of torch.uint8 (3 x 2): ...
    """
    try:
        return model(x)
    except (TypeError, AttributeError, RuntimeError) as error:
        text = _explain(model, x, error)
        if text is None:
            raise
        raise TypeError(f"{text} ({type(error).__name__}: {error})") from error


def _explain(model: nn.Module, x: Any, error: Exception) -> str | None:
    name = type(model).__name__
    if isinstance(error, RuntimeError):
        weight = next((p for p in model.parameters() if p.is_floating_point()), None)
        if weight is None or not isinstance(x, Tensor) or x.dtype == weight.dtype:
            return None
        if OF_TYPES.search(str(error)) is None or torch.is_autocast_enabled(x.device.type):
            return None
        size = " x ".join(map(str, x.shape))
        return (
            f"{name} has weights of {weight.dtype}, but its input is of {x.dtype} ({size}): let "
            f"the data give {weight.dtype}, such as by x.to({weight.dtype})"
        )
    if not isinstance(x, list) or not all(isinstance(part, Tensor) for part in x):
        return None
    sizes = ", ".join(str([*part.shape]) for part in x[:3])
    return (
        f"{name} does not take a list of {len(x)} tensors, of sizes {sizes}: let the data cut or "
        "pad all samples to one size (a recipe's frames or duration), or use a network that takes "
        "lists"
    )
