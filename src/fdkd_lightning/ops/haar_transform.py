"""Haar wavelet transform of feature maps, and its inverse."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import check_tensor


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
        levels: J, the number of levels, at least 1.

    Returns:
        The low band, and a list of the details per level, the finest level first.

    Shape:
        - x: [N, C, H, W]
        - low: [N, C, H', W'], H and W halved J times, rounded up each time
        - details: J tensors [N, C, 3, H', W'], H and W halved once, twice, ...

    Raises:
        TypeError: If x is no tensor, or ``levels`` no whole number.
        ValueError: If x is not floating-point, has another shape or no pixels, or ``levels`` is
            below 1.

    Reference:
        A. Haar 1910; the values are those of PyWavelets and pytorch_wavelets (``wave="haar"``,
        ``mode="zero"``).

    Example:
        >>> low, details = haar_dwt(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), levels=1)
        >>> low.item(), details[0].flatten().tolist()
        (6.0, [-3.0, -2.0, 1.0])
    """
    check_tensor("x", x, "[N, C, H, W]", 4)
    check_count("levels", levels, 1, 62, example=3)
    if not (x.shape[2] and x.shape[3]):
        raise ValueError(f"x has shape {list(x.shape)}, without pixels: give at least one")
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

    Raises:
        TypeError: If a band is no tensor, or ``size`` not two whole numbers.
        ValueError: If the bands' shapes are not those of a transform of maps of that size.

    Reference:
        A. Haar 1910.

    Example:
        >>> x = torch.randn(2, 4, 5, 7)
        >>> torch.allclose(haar_idwt(*haar_dwt(x), size=(5, 7)), x, atol=1e-6)
        True
    """
    _check_bands(low, details, size)
    sizes = [size, *(detail.shape[-2:] for detail in details[:-1])]
    for detail, (height, width) in zip(reversed(details), reversed(sizes), strict=True):
        rows, columns, diagonals = detail.unbind(2)
        upper = torch.stack([low + rows + columns + diagonals, low + rows - columns - diagonals], 4)
        lower = torch.stack([low - rows + columns - diagonals, low - rows - columns + diagonals], 4)
        low = torch.stack([upper, lower], 3).flatten(4, 5).flatten(2, 3) / 2
        low = low[..., :height, :width]
    return low


def _check_bands(low: Tensor, details: Sequence[Tensor], size: Sequence[int]) -> None:
    check_tensor("low", low, "[N, C, H, W]", 4)
    if len(size) != 2 or not details:
        raise ValueError(
            f"size={tuple(size)} must be height and width, and details ({len(details)} levels) as "
            "haar_dwt returns them, one level at least"
        )
    for name, side in zip(("size[0]", "size[1]"), size, strict=True):
        check_count(name, side)
    height, width = size
    for level, detail in enumerate(details):
        height, width = -(-height // 2), -(-width // 2)
        check_tensor(f"details[{level}]", detail, "[N, C, 3, H, W]", 5)
        expected = [*low.shape[:2], 3, height, width]
        if list(detail.shape) != expected:
            raise ValueError(
                f"details[{level}] has shape {list(detail.shape)}, and maps of size {tuple(size)} "
                f"have {expected}: give the bands and the size of one transform"
            )
    if list(low.shape[2:]) != [height, width]:
        raise ValueError(
            f"low has shape {list(low.shape)}, and its details end with {height} x {width}: give "
            "the bands of one transform"
        )
