"""Token sequences with padding: pooled to one vector, or arranged as a map."""

from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["cls", "mean", "last"]
"""Pool the first token (a class token), the mean of all tokens, or the last token."""


def pool_tokens(hidden: Tensor, mask: Tensor | None, pooling: Pooling) -> Tensor:
    """Pool each sequence to one vector, without its padding.

    Shape:
        - hidden: [N, L, D]
        - mask: [N, L] bool; None: no padding
        - output: [N, D]; the mean over no token is 0

    Example:
        >>> hidden = torch.tensor([[[1.0], [3.0], [9.0]]])
        >>> mask = torch.tensor([[True, True, False]])
        >>> [pool_tokens(hidden, mask, way).item() for way in ("cls", "mean", "last")]
        [1.0, 2.0, 3.0]
    """
    if mask is None:
        mask = hidden.new_ones(hidden.shape[:2], dtype=torch.bool)
    if pooling == "mean":
        # The sum of many tokens exceeds the largest number of float16.
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        total = blank(hidden, mask).sum(1, dtype=dtype)
        return (total / mask.sum(1, keepdim=True).clamp(min=1)).to(hidden.dtype)
    position = torch.arange(hidden.shape[1], device=hidden.device).expand_as(mask)
    if pooling == "last":
        chosen = position.masked_fill(~mask, -1).argmax(1)
    else:
        chosen = position.masked_fill(~mask, hidden.shape[1]).argmin(1)
    # len(hidden) would become a constant in an exported graph.
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), chosen]


def blank(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Set the hidden states of padding to zero.

    Shape:
        - hidden, output: [N, L, D]
        - mask: [N, L] bool; None: no padding
    """
    return hidden if mask is None else hidden.masked_fill(~mask.unsqueeze(2), 0)


def as_map(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Arrange tokens as a map of one row, with zeros at padding.

    Shape:
        - hidden: [N, L, D]
        - mask: [N, L] bool; None: no padding
        - output: [N, D, 1, L]
    """
    return blank(hidden, mask).transpose(1, 2).unsqueeze(2)
