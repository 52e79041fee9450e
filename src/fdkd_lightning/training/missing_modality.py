"""The samples of a batch that have a modality, and what else belongs to them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fdkd_lightning.types import Batch

# Batch norm cannot learn from one sample, and a relation takes two. A whole batch of one is as the
# data want it; one that is left of a batch is left out.
MIN_SAMPLES = 2


def present_mask(batch: Batch, modality: str) -> Tensor | None:
    """Which samples have a modality, [N] bool; None: all of them.

    Example:
        >>> batch = {"present": {"audio": torch.tensor([True, False])}}
        >>> present_mask(batch, "audio")
        tensor([ True, False])
        >>> present_mask(batch, "visual") is None
        True
    """
    present: Tensor | None = batch.get("present", {}).get(modality)
    # Zeros and ones would be taken for the samples' numbers.
    return None if present is None or bool(present.all()) else present.bool()


def samples_with(batch: Batch, modality: str) -> Batch:
    """The batch without the samples that lack a modality; itself, if none does.

    Example:
        >>> label, present = torch.tensor([3, 4]), {"audio": torch.tensor([True, False])}
        >>> samples_with({"text": ["a", "b"], "label": label, "present": present}, "audio")
        {'text': ['a'], 'label': tensor([3]), 'present': {'audio': tensor([True])}}
    """
    has = present_mask(batch, modality)
    return batch if has is None else {key: select(x, has, key) for key, x in batch.items()}


def select(x: Any, has: Tensor, name: str = "input") -> Any:
    """The chosen samples of an input, an output or a batch's entry.

    Args:
        x: A tensor, a list with one entry per sample, or a dict or tuple (such as
            :class:`~fdkd_lightning.types.Output`) of these; None stays None.
        has: Which samples.
        name: What an error calls ``x``.

    Shape:
        - x: [N, ...]
        - has: [N] bool

    Raises:
        TypeError: If it is none of these.
        ValueError: If a list has another number of entries.

    Example:
        >>> has = torch.tensor([True, False, True])
        >>> select({"ids": torch.arange(3), "text": ["a", "b", "c"]}, has)
        {'ids': tensor([0, 2]), 'text': ['a', 'c']}
    """
    if x is None:
        return None
    if isinstance(x, Tensor):
        return x[has]
    if isinstance(x, Mapping):
        return {key: select(part, has, f"{name}[{key!r}]") for key, part in x.items()}
    if isinstance(x, tuple):
        parts = tuple(select(part, has, f"{name}[{i}]") for i, part in enumerate(x))
        return x._make(parts) if hasattr(x, "_make") else parts
    if not isinstance(x, list):
        raise TypeError(
            f"{name} is of type {type(x).__name__}, of which samples that lack a modality cannot "
            "be left out: let the data give tensors [N, ...], lists with one entry per sample, or "
            "dicts of these"
        )
    if len(x) != len(has):
        raise ValueError(
            f"{name} is a list of {len(x)} entries in a batch of {len(has)} samples: let it have "
            "one entry per sample, and put the parts of an input into a dict"
        )
    return [entry for entry, kept in zip(x, has.tolist(), strict=True) if kept]


def zero_gradient_term(module: nn.Module) -> Tensor:
    """A zero that has the gradient zero for every trainable parameter of the module.

    It stands for what a process did not run while others did: DDP waits for every gradient.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> zero_gradient_term(layer).backward()
        >>> layer.weight.grad
        tensor([[0., 0.]])
    """
    # A sum over nothing, rather than 0 times a sum, which is nan where a value is infinite.
    nothing = [p.flatten()[:0].sum() for p in module.parameters() if p.requires_grad]
    return torch.stack([x.float() for x in nothing]).sum() if nothing else torch.zeros(())
