"""The places of a map: a grid's, or the tokens of a sequence, some of which are padding."""

import torch
import torch.nn.functional as F
from torch import Tensor


def is_sequence(size: torch.Size) -> bool:
    """Whether these are the H and W of a sequence; a single place is none.

    Example:
        >>> [is_sequence(torch.Size(size)) for size in ([1, 7], [4, 7], [1, 1])]
        [True, False, False]
    """
    return size[0] == 1 < size[1]


def mean_place(x: Tensor) -> Tensor:
    """The mean over the places; over the tokens of a sequence that are not padding (zero).

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
    r"""Bring a map to another grid, bilinearly; where it has fewer places, with antialiasing.

    Of a sequence, each sample's tokens that are not padding (zero) are brought to the whole
    length. With n of them, the places j of L' are

    .. math::
        x'_j = \frac{\sum_k w_{jk} x_k}{\sum_k w_{jk}}, \quad
        w_{jk} = \max\Big(0, 1 - \frac{|k - c_j|}{\max(1, n / L')}\Big), \quad
        c_j = \Big(j + \frac{1}{2}\Big) \frac{n}{L'} - \frac{1}{2}, \quad k, j = 0, 1, \dots

    which is also what ``torch.nn.functional.interpolate`` does with ``antialias=True``.

    Shape:
        - x: [N, C, H, W]; or a sequence [N, C, 1, L]
        - size: H' and W'; of a sequence 1 and L'
        - output: [N, C, *size]

    Example:
        >>> tokens = torch.tensor([1.0, 3.0, 0.0, 0.0]).view(1, 1, 1, 4)
        >>> resize(tokens, torch.Size([1, 4])).flatten().tolist()
        [1.0, 1.5, 2.5, 3.0]
    """
    if not is_sequence(x.shape[2:]):
        if x.shape[2:] == size:
            return x
        return F.interpolate(x, tuple(size), mode="bilinear", antialias=True)
    there = _tokens(x)
    ratio = there.sum(1).view(-1, 1, 1).to(x.dtype) / size[1]
    centre = (torch.arange(size[1], dtype=x.dtype, device=x.device) + 0.5) * ratio - 0.5
    rank = there.cumsum(1).unsqueeze(2) - 1
    weight = (1 - (rank - centre).abs() / ratio.clamp_min(1)).clamp_min(0) * there.unsqueeze(2)
    weight = weight / weight.sum(1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
    # Autocast would take the product to bf16.
    with torch.autocast(x.device.type, enabled=False):
        return x.flatten(2).matmul(weight).unsqueeze(2)


def _tokens(x: Tensor) -> Tensor:
    """Which places of a sequence are not padding, [N, L]."""
    return (x.detach() != 0).any(1).flatten(1)
