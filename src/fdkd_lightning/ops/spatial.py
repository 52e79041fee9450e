"""The positions of a map: a grid's, or the tokens of a sequence, some of which are padding."""

from typing import Literal

import torch
from torch import Tensor

Positions = Literal["mean", "resize"]
"""What becomes of a map's positions: their mean, or the teacher's grid."""


def arrange(x: Tensor, size: torch.Size, positions: Positions, where: str = "") -> Tensor:
    """A map's mean, or the map on a grid that has an order in common with its own.

    Args:
        x: Features; a vector has no positions, and stays what it is with ``"mean"``.
        size: H' and W' of the teacher's map, nothing of a vector; without a teacher x's own.
        positions: What becomes of the positions.
        where: What an error begins with.

    Shape:
        - x: [N, C] or [N, C, H, W]
        - output: [N, C], or with ``"resize"`` [N, C, H', W']

    Raises:
        ValueError: If ``"resize"`` meets a vector and a map, or a sequence and a grid: to average
            then would give classifiers other features with a teacher than without.

    Example:
        >>> x = torch.tensor([[[[1.0, 3.0]]]])
        >>> arrange(x, torch.Size([1, 2]), "mean"), arrange(x, torch.Size([1, 2]), "resize").shape
        (tensor([[2.]]), torch.Size([1, 1, 1, 2]))
    """
    here = x.shape[2:]
    if positions == "mean":
        return mean_place(x) if here else x
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
    """Whether these are the H and W of a sequence; a single place is none.

    Example:
        >>> [is_sequence(torch.Size(size)) for size in ([1, 7], [4, 7], [1, 1])]
        [True, False, False]
    """
    return size[0] == 1 < size[1]


def mean_place(x: Tensor) -> Tensor:
    """The mean over the positions; over the tokens of a sequence that are not padding (zero).

    Shape:
        - x: [N, C, H, W]
        - output: [N, C]

    Example:
        >>> mean_place(torch.tensor([4.0, 2.0, 0.0]).view(1, 1, 1, 3))
        tensor([[3.]])
    """
    if not is_sequence(x.shape[2:]):
        return x.mean((2, 3))
    return x.sum((2, 3)) / _tokens(x).sum(1, keepdim=True).clamp_min(1)


def resize(x: Tensor, size: torch.Size) -> Tensor:
    r"""Bring a map to another grid, bilinearly; where it has fewer positions, with antialiasing.

    Along each axis, n positions become n' by

    .. math::
        x'_j = \frac{\sum_k w_{jk} x_k}{\sum_k w_{jk}}, \quad
        w_{jk} = \max\Big(0, 1 - \frac{|k - c_j|}{\max(1, n / n')}\Big), \quad
        c_j = \Big(j + \frac{1}{2}\Big) \frac{n}{n'} - \frac{1}{2}, \quad k, j = 0, 1, \dots

    Of a sequence, n and k count a sample's tokens that are not padding (zero): each is brought to
    the whole length by itself. Otherwise this is ``torch.nn.functional.interpolate`` with
    ``antialias=True``, whose gradient is not deterministic on a GPU, as this one is.

    Shape:
        - x: [N, C, H, W]
        - size: H' and W'
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
    # Autocast would take the products to bf16.
    with torch.autocast(x.device.type, enabled=False):
        x = x @ _weights(_tokens(x) if sequence else columns, size[1], x.dtype)
        return _weights(rows, size[0], x.dtype).mT @ x


def _weights(there: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """What each old place (a row) gives to each new one (a column): [N, 1, L, L'] of [N, L]."""
    ratio = there.sum(1).view(-1, 1, 1).to(dtype) / size
    centre = (torch.arange(size, dtype=dtype, device=there.device) + 0.5) * ratio - 0.5
    rank = there.cumsum(1).unsqueeze(2) - 1
    weight = (1 - (rank - centre).abs() / ratio.clamp_min(1)).clamp_min(0) * there.unsqueeze(2)
    total = weight.sum(1, keepdim=True).clamp_min(torch.finfo(dtype).tiny)
    return (weight / total).unsqueeze(1)


def _tokens(x: Tensor) -> Tensor:
    """Which positions of a sequence are not padding, [N, L]."""
    return (x.detach() != 0).any(1).flatten(1)
