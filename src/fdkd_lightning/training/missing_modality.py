"""Select the samples of a batch that have a modality."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fdkd_lightning.types import Batch

MIN_SAMPLES = 2
"""Fewest samples to train on where others lack a modality: batch norm and relations need two.

A batch that has a single sample to begin with is trained on.
"""


def present_mask(batch: Batch, modality: str) -> Tensor | None:
    """Return which samples have a modality; None if all of them do.

    Shape:
        - output: [N] bool

    Example:
        >>> batch = {"present": {"audio": torch.tensor([True, False])}}
        >>> present_mask(batch, "audio")
        tensor([ True, False])
        >>> present_mask(batch, "visual") is None
        True
    """
    if not isinstance(batch, Mapping):
        return None  # reported where its entries are read
    present: Tensor | None = batch.get("present", {}).get(modality)
    # Integers would index samples instead of masking them.
    return None if present is None or bool(present.all()) else present.bool()


def samples_with(batch: Batch, modality: str) -> Batch:
    """Return the batch without the samples that lack a modality.

    The batch itself is returned if no sample lacks it.

    Example:
        >>> label, present = torch.tensor([3, 4]), {"audio": torch.tensor([True, False])}
        >>> samples_with({"text": ["a", "b"], "label": label, "present": present}, "audio")
        {'text': ['a'], 'label': tensor([3]), 'present': {'audio': tensor([True])}}
    """
    mask = present_mask(batch, modality)
    return batch if mask is None else {key: select(x, mask, key) for key, x in batch.items()}


def select(x: Any, mask: Tensor, name: str = "input") -> Any:
    """Select samples of an input, an output or an entry of a batch.

    Args:
        x: A tensor, a list with one entry per sample, or a dict or tuple (such as
            :class:`~fdkd_lightning.types.Output`) of these; None stays None.
        mask: The samples to select.
        name: Name of ``x`` in an error.

    Shape:
        - x: [N, ...]
        - mask: [N] bool, M of them True
        - output: [M, ...]

    Example:
        >>> mask = torch.tensor([True, False, True])
        >>> select({"ids": torch.arange(3), "text": ["a", "b", "c"]}, mask)
        {'ids': tensor([0, 2]), 'text': ['a', 'c']}
    """
    if x is None:
        return None
    if isinstance(x, Tensor):
        return x[mask]
    if isinstance(x, Mapping):
        return {key: select(part, mask, f"{name}[{key!r}]") for key, part in x.items()}
    if isinstance(x, tuple):
        parts = tuple(select(part, mask, f"{name}[{i}]") for i, part in enumerate(x))
        return x._make(parts) if hasattr(x, "_make") else parts
    if not isinstance(x, list):
        raise TypeError(
            f"{name} is of type {type(x).__name__}, from which the samples that have a modality "
            "cannot be selected: let the data give tensors [N, ...], lists with one entry per "
            "sample, or dicts of these"
        )
    if len(x) != len(mask):
        raise ValueError(
            f"{name} is a list of {len(x)} entries in a batch of {len(mask)} samples: let it have "
            "one entry per sample, and put the parts of an input into a dict"
        )
    return [entry for entry, kept in zip(x, mask.tolist(), strict=True) if kept]


def zero_gradient_term(module: nn.Module) -> Tensor:
    """Return a zero whose gradient is zero for every trainable parameter of a module.

    It takes the place of a module that other ranks ran and this one did not: DDP waits for the
    gradient of every parameter.

    Shape:
        - output: scalar

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> zero_gradient_term(layer).backward()
        >>> layer.weight.grad
        tensor([[0., 0.]])
    """
    # Sums of no elements. 0 times a sum would be NaN where a value is infinite.
    zeros = [p.flatten()[:0].sum() for p in module.parameters() if p.requires_grad]
    return torch.stack([x.float() for x in zeros]).sum() if zeros else torch.zeros(())
