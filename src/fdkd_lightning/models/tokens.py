"""Token sequences: which tokens count, one vector of them all, and tokens as a map."""

from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["cls", "mean", "last"]
"""Which tokens become features: the first (a class token), the mean of all, or the last one."""


def pool_tokens(hidden: Tensor, mask: Tensor | None, pooling: Pooling) -> Tensor:
    """One vector per sequence, in which padding has no part.

    Args:
        hidden: The tokens' hidden states.
        mask: Which of them are not padding; None: all.
        pooling: The first of these, their mean, or the last.

    Shape:
        - hidden: [N, L, D]
        - mask: [N, L] bool
        - output: [N, D]; zero for the mean over none

    Example:
        >>> hidden = torch.tensor([[[1.0], [3.0], [9.0]]])
        >>> mask = torch.tensor([[True, True, False]])
        >>> [pool_tokens(hidden, mask, way).item() for way in ("cls", "mean", "last")]
        [1.0, 2.0, 3.0]
    """
    if mask is None:
        mask = hidden.new_ones(hidden.shape[:2], dtype=torch.bool)
    if pooling == "mean":
        # A sum of many tokens is beyond the largest number of float16.
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        total = blank(hidden, mask).sum(1, dtype=dtype)
        return (total / mask.sum(1, keepdim=True).clamp(min=1)).to(hidden.dtype)
    place = torch.arange(hidden.shape[1], device=hidden.device).expand_as(mask)
    if pooling == "last":
        chosen = place.masked_fill(~mask, -1).argmax(1)
    else:
        chosen = place.masked_fill(~mask, hidden.shape[1]).argmin(1)
    # Not len(hidden): in an exported graph that would be a constant.
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), chosen]


def blank(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Zeros where there is padding.

    Shape:
        - hidden, output: [N, L, D]
        - mask: [N, L] bool; None: there is none

    Example:
        >>> blank(torch.ones(1, 2, 1), torch.tensor([[True, False]])).flatten()
        tensor([1., 0.])
    """
    return hidden if mask is None else hidden.masked_fill(~mask.unsqueeze(2), 0)


def as_map(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Tokens as the positions of a map of one row, zeros where there is padding.

    Shape:
        - hidden: [N, L, D]
        - mask: [N, L] bool; None: there is no padding
        - output: [N, D, 1, L]

    Example:
        >>> as_map(torch.zeros(2, 5, 8), None).shape
        torch.Size([2, 8, 1, 5])
    """
    return blank(hidden, mask).transpose(1, 2).unsqueeze(2)
