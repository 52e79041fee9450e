"""Tensors inside of what a layer or network returns."""

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

Kind = Literal["hidden state", "logits"]

# Names in the outputs of transformers (ModelOutput) and torchvision (dicts). A name of one kind is
# never read as the other kind, except "out", which is also the map of a torchvision backbone.
NAMES: dict[Kind, tuple[str, ...]] = {
    "hidden state": ("last_hidden_state", "hidden_states", "feature_maps", "pooler_output"),
    "logits": ("logits", "prediction_logits", "out"),
}
OTHER_NAMES: dict[Kind, tuple[str, ...]] = {
    "hidden state": ("logits", "prediction_logits"),
    "logits": NAMES["hidden state"],
}


def find_tensor(value: Any, kind: Kind) -> Tensor | None:
    """Return the hidden state or logits in a layer's output; None if there are none.

    A tensor is returned as it is. In a dict or named tuple, the usual names come first; otherwise
    the first tensor is returned. Scalars (losses) and integer tensors (tokens, masks) are skipped.
    A tuple of hidden states gives that of the last layer.

    Example:
        >>> import torch
        >>> output = {"loss": torch.tensor(1.0), "logits": torch.tensor([2.0])}
        >>> find_tensor(output, "logits")
        tensor([2.])
        >>> find_tensor(output, "hidden state") is None
        True
        >>> find_tensor((None, [torch.tensor([3.0])]), "hidden state")
        tensor([3.])
    """
    if isinstance(value, Tensor):
        return value if value.ndim and value.is_floating_point() else None
    parts: list[Any] = []
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        for name in NAMES[kind]:
            part = value.get(name)
            parts.append(part[-1] if isinstance(part, tuple | list) and part else part)
        parts += [part for name, part in value.items() if name not in OTHER_NAMES[kind]]
    elif isinstance(value, tuple | list):
        parts = [*value]
    return next((x for part in parts if (x := find_tensor(part, kind)) is not None), None)


def find_logits(returned: Any) -> Tensor:
    """Return the logits in a network's output."""
    found = find_tensor(returned, "logits")
    if found is None:
        raise TypeError(
            f"the network returned {describe(returned)}, which holds no logits: give "
            "FeatureModel a classifier, such as classifier=nn.Linear(768, 10), or name the layer "
            "that returns them, such as Layers(logits='head')"
        )
    return found


def describe(value: Any) -> str:
    """Return the type of a value, with its keys or the types of its parts.

    Example:
        >>> import torch
        >>> describe({"loss": 1, "ids": 2}), describe((torch.zeros(1), None))
        ('dict of loss, ids', 'tuple of torch.float32, NoneType')
    """
    if isinstance(value, Mapping):
        return f"{type(value).__name__} of {', '.join(map(str, value)) or 'nothing'}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {', '.join(map(describe, value)) or 'nothing'}"
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
