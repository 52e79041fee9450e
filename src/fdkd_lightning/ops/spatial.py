"""Mean and resizing over the positions of a map: pixels of a grid, or tokens with padding."""

from typing import Literal

import torch
from torch import Tensor

Positions = Literal["mean", "resize"]
"""Reduction of a map to comparable positions: their mean, or a resize to the teacher's grid."""


def arrange(x: Tensor, size: torch.Size, positions: Positions, where: str = "") -> Tensor:
    """Average a map over its positions, or resize it to the teacher's.

    Args:
        x: The student's features. A vector has no positions and stays unchanged.
        size: H' and W' of the teacher's map, empty for a vector; without a teacher those of ``x``.
        positions: ``"mean"`` averages over the positions, ``"resize"`` resizes to ``size``.
        where: Prefix of an error's message.

    Shape:
        - x: [N, C] or [N, C, H, W]
        - output: [N, C], or with ``"resize"`` [N, C, H', W']

    Raises:
        ValueError: If ``"resize"`` meets a vector and a map, or a sequence and a grid. (Averaging
            here instead would give classifiers other features with a teacher than without.)

    Example:
        >>> x = torch.tensor([[[[1.0, 3.0]]]])
        >>> arrange(x, torch.Size([1, 2]), "mean"), arrange(x, torch.Size([1, 2]), "resize").shape
        (tensor([[2.]]), torch.Size([1, 1, 1, 2]))
    """
    here = x.shape[2:]
    if positions == "mean":
        return mean_over_positions(x) if here else x
    if bool(here) != bool(size):
        raise ValueError(
            f"{where}the student's features have {list(here) or 'no'} positions, the teacher's "
            f"{list(size) or 'no'}: set positions='mean'"
        )
    if not here:
        return x
    if is_sequence(here) != is_sequence(size) and 1 not in (here.numel(), size.numel()):
        raise ValueError(
            f"{where}the student's map has {list(here)} positions, the teacher's {list(size)}, a "
            "sequence and a grid that have no order in common: set positions='mean'"
        )
    return resize(x, size)


def is_sequence(size: torch.Size) -> bool:
    """Whether H and W are those of a sequence; a single position is none.

    Example:
        >>> [is_sequence(torch.Size(size)) for size in ([1, 7], [4, 7], [1, 1])]
        [True, False, False]
    """
    return size[0] == 1 < size[1]


def mean_over_positions(x: Tensor) -> Tensor:
    """Average over the positions of a map; for a sequence, over the tokens that are not all zero.

    Shape:
        - x: [N, C, H, W]
        - output: [N, C]

    Example:
        >>> mean_over_positions(torch.tensor([4.0, 2.0, 0.0]).view(1, 1, 1, 3))
        tensor([[3.]])
    """
    if not is_sequence(x.shape[2:]):
        return x.mean((2, 3))
    return x.sum((2, 3)) / _tokens(x).sum(1, keepdim=True).clamp_min(1)


def resize(x: Tensor, size: torch.Size) -> Tensor:
    r"""Resize a map bilinearly, with antialiasing where the new size is smaller.

    Along each axis, n positions become n' positions by

    .. math::
        x'_j = \frac{\sum_k w_{jk} x_k}{\sum_k w_{jk}}, \quad
        w_{jk} = \max\Big(0, 1 - \frac{|k - c_j|}{\max(1, n / n')}\Big), \quad
        c_j = \Big(j + \frac{1}{2}\Big) \frac{n}{n'} - \frac{1}{2}, \quad k, j = 0, 1, \dots

    In a sequence, n and k count only the tokens that are not padding, so every sample is stretched
    to the whole length by itself. For a grid the result is that of
    ``torch.nn.functional.interpolate`` with ``antialias=True``, whose gradient is not deterministic
    on a GPU; the gradient of this function is.

    Args:
        x: Maps; a token of a sequence that is zero in all channels is padding.
        size: H' and W'.

    Shape:
        - x: [N, C, H, W]
        - output: [N, C, H', W']

    Example:
        >>> tokens = torch.tensor([1.0, 3.0, 0.0, 0.0]).view(1, 1, 1, 4)
        >>> resize(tokens, torch.Size([1, 4])).flatten().tolist()
        [1.0, 1.5, 2.5, 3.0]
    """
    sequence = is_sequence(x.shape[2:])
    if x.shape[2:] == size and not sequence:
        return x
    rows, columns = (torch.ones(1, n, dtype=torch.bool, device=x.device) for n in x.shape[2:])
    # Autocast would compute the products in bf16.
    with torch.autocast(x.device.type, enabled=False):
        x = x @ _weights(_tokens(x) if sequence else columns, size[1], x.dtype)
        return _weights(rows, size[0], x.dtype).mT @ x


def _weights(kept: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Weights of the old positions (rows) in the new ones (columns): [N, L] -> [N, 1, L, L']."""
    ratio = kept.sum(1).view(-1, 1, 1).to(dtype) / size
    centre = (torch.arange(size, dtype=dtype, device=kept.device) + 0.5) * ratio - 0.5
    rank = kept.cumsum(1).unsqueeze(2) - 1
    weight = (1 - (rank - centre).abs() / ratio.clamp_min(1)).clamp_min(0) * kept.unsqueeze(2)
    total = weight.sum(1, keepdim=True).clamp_min(torch.finfo(dtype).tiny)
    return (weight / total).unsqueeze(1)


def _tokens(x: Tensor) -> Tensor:
    """Mask of the tokens that are not padding: [N, C, 1, L] -> [N, L]."""
    return (x.detach() != 0).any(1).flatten(1)
