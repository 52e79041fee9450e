"""Collate samples whose entries may differ in shape."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

# The documentation of default_collate refers to this module for collating other types.
from torch.utils.data._utils.collate import (
    collate as collate_by_type,
    collate_tensor_fn,
    default_collate_fn_map,
)

from fdkd_lightning.types import Batch


def collate(samples: list[Batch]) -> Batch:
    """Collate samples into a batch; entries of different shapes, such as clips, become a list.

    Shape:
        - output[key]: [N, ...], or a list of N tensors if their shapes differ

    Example:
        >>> import torch
        >>> batch = collate([{"audio": torch.zeros(3)}, {"audio": torch.zeros(5)}])
        >>> [len(clip) for clip in batch["audio"]]
        [3, 5]
    """
    batch: Batch = collate_by_type(
        samples, collate_fn_map={**default_collate_fn_map, Tensor: _stack}
    )
    return batch


def _stack(tensors: Sequence[Tensor], *, collate_fn_map: Any = None) -> Tensor | list[Tensor]:
    if any(x.shape != tensors[0].shape for x in tensors):
        return list(tensors)
    stacked: Tensor = collate_tensor_fn(tensors, collate_fn_map=collate_fn_map)
    return stacked
