"""Distances of standardised bands with a gradient written by hand, for both networks at once."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fdkd_lightning.ops.low_part import LowPart, apply_low_part
from fdkd_lightning.ops.normalize import NEGLIGIBLE

CHUNK = 2**15
"""Values of one network that are processed at a time: a dozen such tensors stay in the cache."""

Result = tuple[Tensor, Tensor, Tensor | None]
Plain = Callable[[Tensor, Tensor], Result]


def band_distances(
    student: Tensor, teacher: Tensor, part: LowPart, dim: int, with_bands: bool, plain: Plain
) -> Result:
    r"""Split, standardise and compare the features of two networks.

    .. math::
        \frac{1}{M} \sum (\mathrm{Std}(s_\mathrm{low}) - \mathrm{Std}(t_\mathrm{low}))^2, \quad
        \frac{1}{M} \sum (\sigma(\mathrm{Std}(s_\mathrm{high}))
        - \sigma(\mathrm{Std}(t_\mathrm{high})))^2

    Values and gradients are those of the plain form, up to rounding. It is faster since the
    teacher's side has no graph, the gradient is computed while the bands are in the cache, and few
    operations are called. With the unit vectors u and v of a band, the gradient by the band is
    proportional to :math:`(I - u u^\top) (u - v) / \lVert s \rVert`; that of the low band is in the
    low band already, and needs no projection.

    Args:
        student: The student's features, at least float32.
        teacher: The teacher's features, of the same shape and dtype; they get no gradient.
        part: The projection onto the low band.
        dim: The axis to split along; with bands, not the first.
        with_bands: Return the bands, too.
        plain: The same result from both features by automatic differentiation, which a second
            derivative uses.

    Returns:
        Both distances; with bands, also the low, then the high bands, before standardisation, the
        student's followed by the teacher's.

    Shape:
        - student, teacher: [N, ..., D, ...]
        - output: two scalars, and [2, 2N, ..., D, ...] or None
    """
    result: Result = _BandDistances.apply(student, teacher.detach(), part, dim, with_bands, plain)
    return result


class _BandDistances(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        part: LowPart,
        dim: int,
        with_bands: bool,
        plain: Plain,
    ) -> Result:
        layout = _Layout.of(student, dim)
        packed = layout.pack(student), layout.pack(teacher)
        shape = packed[0].shape
        gradient = student.new_empty(2, *shape) if ctx.needs_input_grad[0] else None
        # Band, network, and the three axes of the layout.
        bands = student.new_empty(2, 2, *shape) if with_bands else None
        compare = partial(_compare, part=part, axis=layout.axis, factor=2 / student.numel())
        if student.numel() <= CHUNK:
            sums = compare(torch.stack(packed), gradient=gradient, bands=bands)
        else:
            parts = [
                compare(
                    torch.stack([x[chunk] for x in packed]),
                    gradient=None if gradient is None else gradient[:, *chunk],
                    bands=None if bands is None else bands[:, :, *chunk],
                )
                for chunk in _chunks(shape, layout.axis)
            ]
            sums = torch.stack(parts).sum(0)
        low, high = (sums / student.numel()).unbind()
        ctx.set_materialize_grads(False)
        ctx.layout, ctx.part, ctx.plain, ctx.with_bands = layout, part, plain, with_bands
        ctx.save_for_backward(student, teacher, gradient)
        return low, high, None if bands is None else layout.unpack(bands)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        student, teacher, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # it will be differentiated again
            return _plain_gradient(ctx.plain, student, teacher, upstream), *[None] * 5
        low, high, bands = upstream
        of_low, of_high = gradient.unbind()
        total = torch.zeros_like(of_low) if low is None else of_low * low
        if not ctx.with_bands:
            if high is not None:
                total.addcmul_(of_high, high)
            return ctx.layout.unpack(total), *[None] * 5
        by_high = torch.zeros_like(total) if high is None else of_high * high
        by_low = None
        if bands is not None:
            by_low, more = (ctx.layout.pack(band) for band in bands[:, : len(student)])
            by_high += more
        # Back through the split at once, along which the mean is taken off.
        total += by_high
        _subtract_mean(total, by_high, ctx.layout.axis)
        to_low = by_high.neg_() if by_low is None else by_low - by_high
        total += apply_low_part(ctx.part, to_low, ctx.layout.axis)
        return ctx.layout.unpack(total), *[None] * 5


def _compare(
    features: Tensor,
    part: LowPart,
    axis: int,
    factor: float,
    gradient: Tensor | None,
    bands: Tensor | None,
) -> Tensor:
    """Return the sums of squared differences of both bands; write gradients and bands.

    With bands the gradient of the high one is that by the band: the backward pass takes it through
    the split, together with that of the bands.

    Shape:
        - features: [2, ...], of both networks; overwritten
        - gradient: [2, ...], of both bands by the student's features
        - bands: [2, 2, ...], of band and network
        - output: [2]
    """
    total = _subtract_mean(features, features, axis)
    both = features.new_empty(2, *features.shape) if bands is None else bands
    low, high = both.unbind()
    low.copy_(apply_low_part(part, features, axis))
    torch.sub(features, low, out=high)
    # What is left of a large mean, which is rounded at its own magnitude.
    _subtract_mean(high, high, axis)
    squares = both * both
    norms = squares.sum(axis, keepdim=True)
    # The bands are orthogonal to each other and to the mean: the size of the features.
    size = norms.sum(0).addcmul_(total, total, value=1 / features.shape[axis]).sqrt_()
    norms.sqrt_()
    residue = norms <= size.mul_(NEGLIGIBLE * torch.finfo(size.dtype).eps)
    # A residue has no direction: 0. Nor has a vector of infinite length, and 0 * inf is NaN.
    inverse = norms.reciprocal().masked_fill_(residue, 0).add_(norms, alpha=0)
    units = both.mul_(inverse) if bands is None else both * inverse
    low, high = units.unbind()
    magnitude = high.abs()
    logarithms = magnitude.log1p().copysign_(high)
    spare = squares[0]
    differences = torch.empty_like(spare) if gradient is None else gradient
    by_low, by_high = differences.unbind()
    torch.sub(*low.unbind(), out=by_low)
    torch.sub(*logarithms.unbind(), out=by_high)
    sums = torch.mul(differences, differences, out=spare).flatten(1).sum(1)
    if gradient is None:
        return sums
    by_high.div_(magnitude[0].add_(1))
    student = units[:, 0]
    along = torch.mul(student, gradient, out=spare).sum(axis, keepdim=True)
    gradient.addcmul_(student, along, value=-1).mul_(inverse[:, 0] * factor)
    if bands is None:
        _subtract_mean(by_high, by_high, axis)
        by_high -= apply_low_part(part, by_high, axis)
    return sums


def _subtract_mean(x: Tensor, of: Tensor, axis: int) -> Tensor:
    """Subtract the mean of a tensor along an axis in place; return the sum."""
    total = of.sum(axis, keepdim=True)
    x.sub_(total, alpha=1 / of.shape[axis])
    return total


def _plain_gradient(
    plain: Plain, student: Tensor, teacher: Tensor, upstream: tuple[Tensor | None, ...]
) -> Tensor:
    pairs = [
        (output, gradient)
        for output, gradient in zip(plain(student, teacher), upstream, strict=True)
        if gradient is not None
    ]
    outputs, gradients = zip(*pairs, strict=True)
    (result,) = torch.autograd.grad(outputs, student, gradients, create_graph=True)
    return result


def _chunks(shape: torch.Size, axis: int) -> Iterator[tuple[slice, ...]]:
    """Yield slices of a layout that each hold about :data:`CHUNK` values, and whole vectors."""
    outer, inner = (0, 1) if axis == -1 else (0, 2)
    vectors = max(1, CHUNK // shape[axis])
    step = max(1, vectors // shape[inner])
    for i in range(0, shape[outer], step):
        for j in range(0, shape[inner], vectors):
            index = [slice(i, i + step), slice(None), slice(None)]
            index[inner] = slice(j, j + vectors)
            yield tuple(index)


class _Layout(NamedTuple):
    """Three axes in place of all: vectors last (axis -1), or positions of maps last (axis -2)."""

    shape: torch.Size
    dim: int
    axis: int

    @classmethod
    def of(cls, x: Tensor, dim: int) -> "_Layout":
        # Vectors that lie in one piece, as those of channels-last maps, are not torn apart.
        is_last = x.ndim == 2 or x.movedim(dim, -1).is_contiguous()
        return cls(x.shape, dim % x.ndim, -1 if is_last else -2)

    def pack(self, x: Tensor) -> Tensor:
        if x.ndim == 2 and self.dim == 1:
            return x[None]
        size = self.shape[self.dim]
        if self.axis == -1:
            return x.movedim(self.dim, -1).reshape(1, -1, size)
        return x.reshape(self.shape[: self.dim].numel(), size, -1)

    def unpack(self, x: Tensor) -> Tensor:
        """Give student-like features their shape; bands of both networks [2, 2N, ...]."""
        bands, networks = ([], 1) if x.ndim == 3 else ([2], 2)
        if self.axis == -2:
            return x.reshape(*bands, networks * self.shape[0], *self.shape[1:])
        moved = [*self.shape]
        size = moved.pop(self.dim)
        if moved:
            moved[0] *= networks
        return x.reshape(*bands, *moved, size).movedim(-1, self.dim + len(bands))
