"""Distances of standardised bands with a gradient written by hand, for both networks at once."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fdkd_lightning.ops.low_part import LowPart, apply_low_part
from fdkd_lightning.ops.normalize import NEGLIGIBLE

CHUNK = 2**15
"""Values of one network that are processed at a time: a dozen such tensors stay in the cache."""

Plain = Callable[[Tensor, Tensor], tuple[Tensor, ...]]


def band_distances(
    student: Tensor, teacher: Tensor, part: LowPart, dim: int, with_bands: bool, plain: Plain
) -> tuple[Tensor, ...]:
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
        Both distances; with bands, also the low and the high bands before standardisation, the
        student's followed by the teacher's.

    Shape:
        - student, teacher: [N, ..., D, ...]
        - output: two scalars, and two tensors [2N, ..., D, ...]
    """
    result: tuple[Tensor, ...] = _BandDistances.apply(  # type: ignore[no-untyped-call]  # torch does not annotate it
        student, teacher.detach(), part, dim, with_bands, plain
    )
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
    ) -> tuple[Tensor, ...]:
        layout = _Layout.of(student, dim)
        packed = layout.pack(student), layout.pack(teacher)
        shape = packed[0].shape
        gradient = student.new_empty(2, *shape) if ctx.needs_input_grad[0] else None
        # Band, network, and the three axes of the layout.
        bands = student.new_empty(2, 2, *shape) if with_bands else None
        sums = [
            _compare(
                torch.stack([x[chunk] for x in packed]),
                part,
                layout.axis,
                2 / student.numel(),
                None if gradient is None else gradient[:, *chunk],
                None if bands is None else bands[:, :, *chunk],
            )
            for chunk in _chunks(shape, layout.axis)
        ]
        low, high = (torch.stack(sums).sum(0) if len(sums) > 1 else sums[0]) / student.numel()
        ctx.set_materialize_grads(False)
        ctx.layout, ctx.part, ctx.plain = layout, part, plain
        ctx.save_for_backward(student, teacher, gradient)
        if bands is None:
            return low, high
        return low, high, *(layout.unpack(band, networks=2) for band in bands)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        student, teacher, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # it will be differentiated again
            return _plain_gradient(ctx.plain, student, teacher, upstream), *[None] * 5
        low, high, *bands = upstream
        total = torch.zeros_like(gradient[0]) if low is None else gradient[0] * low
        if high is not None:
            total.addcmul_(gradient[1], high)
        if any(band is not None for band in bands):
            _add_through_split(total, bands, len(student), ctx.part, ctx.layout)
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

    Shape:
        - features: [2, ...], of both networks; overwritten
        - gradient: [2, ...], of both bands by the student's features
        - bands: [2, 2, ...], of band and network
        - output: [2]
    """
    mean = features.mean(axis, keepdim=True)
    features -= mean
    both = features.new_empty(2, *features.shape) if bands is None else bands
    both[0] = apply_low_part(part, features, axis)
    high = torch.sub(features, both[0], out=both[1])
    # What is left of a large mean, which is rounded at its own magnitude.
    high -= high.mean(axis, keepdim=True)
    squares = both * both
    square_norms = squares.sum(axis, keepdim=True)
    # The bands are orthogonal to each other and to the mean: the size of the features.
    size = square_norms.sum(0).addcmul_(mean, mean, value=features.shape[axis]).sqrt_()
    norms = square_norms.sqrt_()
    residue = norms <= size.mul_(NEGLIGIBLE * torch.finfo(size.dtype).eps)
    # A residue has no direction, and a vector of infinite length none that is known: 0 * inf.
    inverse = norms.reciprocal().masked_fill_(residue & norms.isfinite(), 0).add_(norms, alpha=0)
    units = both.mul_(inverse) if bands is None else both * inverse
    magnitude = units[1].abs()
    logarithms = magnitude.log1p().copysign_(units[1])
    differences = torch.empty_like(squares[0]) if gradient is None else gradient
    torch.sub(units[0, 0], units[0, 1], out=differences[0])
    torch.sub(logarithms[0], logarithms[1], out=differences[1])
    sums = torch.mul(differences, differences, out=squares[0]).flatten(1).sum(1)
    if gradient is None:
        return sums
    gradient[1] /= magnitude[0].add_(1)
    student = units[:, 0]
    along = torch.mul(student, gradient, out=squares[0]).sum(axis, keepdim=True)
    gradient.addcmul_(student, along, value=-1).mul_(inverse[:, 0] * factor)
    high = gradient[1]
    high -= high.mean(axis, keepdim=True)
    high -= apply_low_part(part, high, axis)
    return sums


def _add_through_split(
    total: Tensor, bands: list[Tensor | None], size: int, part: LowPart, layout: "_Layout"
) -> None:
    """Add the gradient of the features to which gradients of the student's bands lead."""
    low, high = (None if band is None else layout.pack(band[:size]) for band in bands)
    projected = low
    if high is not None:
        total += high
        total -= high.mean(layout.axis, keepdim=True)
        projected = -high if low is None else low - high
    if projected is not None:
        total += apply_low_part(part, projected, layout.axis)


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
        size = self.shape[self.dim]
        if self.axis == -1:
            return x.movedim(self.dim, -1).reshape(1, -1, size)
        return x.reshape(self.shape[: self.dim].numel(), size, -1)

    def unpack(self, x: Tensor, networks: int = 1) -> Tensor:
        if self.axis == -2:
            return x.reshape(networks * self.shape[0], *self.shape[1:])
        moved = [*self.shape]
        size = moved.pop(self.dim)
        moved[0] *= networks
        return x.reshape(*moved, size).movedim(-1, self.dim)
