"""Haar wavelet transform of feature maps, and its inverse."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.ops.precision import at_least_float32


def haar_dwt(x: Tensor, levels: int = 3) -> tuple[Tensor, list[Tensor]]:
    r"""Transform maps into a low band and the details of each level.

    .. math::
        \begin{pmatrix} a & b \\ c & d \end{pmatrix} \mapsto \tfrac12
        (a + b + c + d, \; a + b - c - d, \; a - b + c - d, \; a - b - c + d)

    for each block of 2 x 2 pixels: the low band, then the differences of rows, columns and
    diagonals. The next level transforms the low band. The transform is orthogonal. A map of odd
    height or width is first padded at its end with a row or column of zeros (mode "zero"), so a
    map of one pixel has further levels, too. It is computed in float32 (float64 for float64 maps).

    Args:
        x: Maps.
        levels: J, the number of levels.

    Returns:
        The low band, and a list of the details per level, the finest level first.

    Shape:
        - x: [N, C, H, W]
        - low: [N, C, H', W'], H and W halved J times, rounded up each time
        - details: J tensors [N, C, 3, H', W'], H and W halved once, twice, ...

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
    """Invert :func:`haar_dwt`.

    Args:
        low: The low band.
        details: The details per level, the finest level first.
        size: Height and width of the maps; the bands alone do not determine an odd size.

    Shape:
        - low, details: as from :func:`haar_dwt`
        - output: [N, C, H, W]

    Reference:
        A. Haar 1910.

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
