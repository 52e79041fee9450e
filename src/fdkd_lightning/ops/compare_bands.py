"""The distances of standardised bands, and their gradient, in few operations over small chunks."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from fdkd_lightning.ops.linear_split import LinearSplit, subtract_mean
from fdkd_lightning.ops.normalize import NEGLIGIBLE

CHUNK = 2**15
"""Values of one network that are processed at a time: a dozen such tensors stay in the cache."""


def compare_bands(
    student: Tensor,
    teacher: Tensor,
    split: LinearSplit,
    gradient: Tensor | None,
    bands: Tensor | None,
) -> Tensor:
    r"""Split and standardise the features of two networks; return M times the distances.

    .. math::
        \sum (\mathrm{Std}(s_\mathrm{low}) - \mathrm{Std}(t_\mathrm{low}))^2, \quad
        \sum (\sigma(\mathrm{Std}(s_\mathrm{high})) - \sigma(\mathrm{Std}(t_\mathrm{high})))^2

    Call it in inference mode, which does not track views and writes for autograd: a tenth of the
    time of small features. The distances are means over the M values of a network's features.

    With the unit vectors u and v of the low band, the gradient by it is proportional to
    :math:`(I - u u^\top) (u - v) / \lVert s \rVert`, which is in the low band already and needs no
    projection. That by the high band has :math:`(\sigma(u) - \sigma(v)) \, \sigma'(u)` in place of
    u - v.

    Args:
        student: The student's features, at least float32.
        teacher: The teacher's features, of the same shape and dtype.
        split: The split.
        gradient: Takes the gradients of the distances, not M times; None: none are computed.
            Without ``bands`` they are those by the features. With them, that of the high distance
            is by the high band, so that it passes the split together with other gradients of the
            bands.
        bands: Takes the low, then the high bands, the student's and the teacher's; None: they are
            not kept.

    Shape:
        - student, teacher: [N, D], or [A, B, D]; or [A, D, B], for a split along axis -2
        - gradient: [2, ...] of a network's features
        - bands: [2, 2, ...]
        - output: [2]
    """
    compare = partial(_compare, split=split, factor=2 / student.numel())
    if student.numel() <= CHUNK:
        return compare(torch.stack((student, teacher)), gradient=gradient, bands=bands)
    parts = [
        compare(
            torch.stack((student[chunk], teacher[chunk])),
            gradient=None if gradient is None else gradient[:, *chunk],
            bands=None if bands is None else bands[:, :, *chunk],
        )
        for chunk in _chunks(student.shape, split.axis)
    ]
    return torch.stack(parts).sum(0)


def _compare(
    features: Tensor,
    split: LinearSplit,
    factor: float,
    gradient: Tensor | None,
    bands: Tensor | None,
) -> Tensor:
    """Return the sums of squared differences of both bands; write gradients and bands.

    Shape:
        - features: [2, ...], of both networks; overwritten
        - gradient: [2, ...], of both distances, see :func:`compare_bands`
        - bands: [2, 2, ...], of band and network
        - output: [2]
    """
    both = features.new_empty(2, *features.shape) if bands is None else bands
    norms, size = _split(features, split, both)
    spare = features
    residue = norms <= size.mul_(NEGLIGIBLE * torch.finfo(size.dtype).eps)
    # A residue has no direction: 0. Nor has a vector of infinite length, and 0 * inf is NaN.
    inverse = norms.reciprocal().masked_fill_(residue, 0).add_(norms, alpha=0)
    units = both.mul_(inverse) if bands is None else both * inverse
    low, high = units.unbind()
    magnitude = high.abs()
    logarithms = magnitude.log1p().copysign_(high)
    differences = torch.empty_like(spare) if gradient is None else gradient
    by_low, by_high = differences.unbind()
    torch.sub(*low.unbind(), out=by_low)
    torch.sub(*logarithms.unbind(), out=by_high)
    sums = torch.mul(differences, differences, out=spare).flatten(1).sum(1)
    if gradient is None:
        return sums
    by_high.div_(magnitude[0].add_(1))
    student = units[:, 0]
    along = torch.mul(student, gradient, out=spare).sum(split.axis, keepdim=True)
    gradient.addcmul_(student, along, value=-1).mul_(inverse[:, 0] * factor)
    if bands is None:
        subtract_mean(by_high, by_high, split.axis)
        by_high -= split.low(by_high)
    return sums


def _split(features: Tensor, split: LinearSplit, bands: Tensor) -> tuple[Tensor, Tensor]:
    """Write the bands; return their norms, and those of the features, which are overwritten."""
    axis = split.axis
    if axis == -1:
        size = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
        subtract_mean(features, features, -1)
        split.write(features, bands)
        return torch.linalg.vector_norm(bands, dim=-1, keepdim=True), size
    total = subtract_mean(features, features, axis)
    split.write(features, bands)
    # Along another axis a norm takes twice as long as a sum.
    squares = [torch.mul(x, x, out=features).sum(axis, keepdim=True) for x in bands]
    norms = torch.stack(squares)
    # The bands are orthogonal to each other and to the mean.
    size = norms.sum(0).addcmul_(total, total, value=1 / features.shape[axis]).sqrt_()
    return norms.sqrt_(), size


def _chunks(shape: torch.Size, axis: int) -> Iterator[tuple[slice, ...]]:
    """Yield slices of features that each hold about :data:`CHUNK` values, and whole vectors."""
    inner = len(shape) - (2 if axis == -1 else 1)
    vectors = max(1, CHUNK // shape[axis])
    step = max(1, vectors // shape[inner]) if inner else shape[0]
    index = [slice(None)] * len(shape)
    for i in range(0, shape[0], step):
        for j in range(0, shape[inner], vectors):
            index[0] = slice(i, i + step)
            index[inner] = slice(j, j + vectors)
            yield tuple(index)
