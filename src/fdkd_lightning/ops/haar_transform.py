"""The Haar wavelet transform of maps."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.ops.precision import at_least_float32


def haar_dwt(x: Tensor, levels: int = 3) -> tuple[Tensor, list[Tensor]]:
    r"""Haar wavelet transform of maps: what is left after some halvings, and what each took away.

    .. math::
        \begin{pmatrix} a & b \\ c & d \end{pmatrix} \mapsto \tfrac12
        (a + b + c + d, \; a + b - c - d, \; a - b + c - d, \; a - b - c + d)

    of each block of 2 x 2 pixels: the low band, and the differences of rows, of columns and of
    diagonals; the next level does the same to the low band. The transform is orthogonal. An odd
    height or width gets a row or column of zeros at its end first (the mode "zero"), so that a map
    of one pixel can be halved for ever.

    Args:
        x: Maps.
        levels: J, how often they are halved.

    Returns:
        The low band, and the details per level, the finest first.

    Shape:
        - x: [N, C, H, W]
        - low: [N, C, H', W'], the sizes halved J times, each time rounded up
        - details: J times [N, C, 3, H', W'], halved once, twice, ...

    Reference:
        A. Haar 1910; the values are those of PyWavelets and pytorch_wavelets (``wave="haar"``,
        ``mode="zero"``).

    Example:
        >>> low, details = haar_dwt(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), levels=1)
        >>> low.item(), details[0].flatten().tolist()
        (6.0, [-3.0, -2.0, 1.0])
    """
    x = at_least_float32(x)
    details = []
    for _ in range(levels):
        x = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2))
        a, b = x[..., ::2, ::2], x[..., ::2, 1::2]
        c, d = x[..., 1::2, ::2], x[..., 1::2, 1::2]
        details.append(torch.stack([a + b - c - d, a - b + c - d, a - b - c + d], 2) / 2)
        x = (a + b + c + d) / 2
    return x, details


def haar_idwt(low: Tensor, details: Sequence[Tensor], size: Sequence[int]) -> Tensor:
    """The maps of which :func:`haar_dwt` gave these bands.

    Args:
        low: The low band.
        details: The details per level, the finest first.
        size: Height and width of the maps, which the bands do not tell where these are odd.

    Shape:
        - low, details: as from :func:`haar_dwt`
        - output: [N, C, *size]

    Example:
        >>> x = torch.randn(2, 4, 5, 7)
        >>> torch.allclose(haar_idwt(*haar_dwt(x), size=(5, 7)), x, atol=1e-6)
        True
    """
    sizes = [size, *(detail.shape[-2:] for detail in details[:-1])]
    for detail, (height, width) in zip(reversed(details), reversed(sizes), strict=True):
        rows, columns, diagonals = detail.unbind(2)
        upper = torch.stack([low + rows + columns + diagonals, low + rows - columns - diagonals], 4)
        lower = torch.stack([low - rows + columns - diagonals, low - rows - columns + diagonals], 4)
        low = torch.stack([upper, lower], 3).flatten(4, 5).flatten(2, 3) / 2
        low = low[..., :height, :width]
    return low
