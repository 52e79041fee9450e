"""Distances of standardised bands with a gradient written by hand, for both networks at once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fdkd_lightning.ops.compare_bands import compare_bands
from fdkd_lightning.ops.linear_split import (
    LinearSplit,
    LowPart,
    subtract_mean,
    without_autocast,
)

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
    operations are called: see :func:`~fdkd_lightning.ops.compare_bands.compare_bands`.

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
        with without_autocast(student.device), torch.inference_mode():
            split = LinearSplit.of(part, packed[0], layout.axis)
            sums = compare_bands(*packed, split, gradient, bands)
        low, high = (sums / student.numel()).unbind()
        ctx.set_materialize_grads(False)
        ctx.layout, ctx.split, ctx.plain, ctx.with_bands = layout, split, plain, with_bands
        ctx.save_for_backward(student, teacher, gradient)
        return low, high, None if bands is None else layout.unpack(bands)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        student, teacher, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():  # it will be differentiated again
            with without_autocast(student.device):
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
        subtract_mean(total, by_high, ctx.layout.axis)
        to_low = by_high.neg_() if by_low is None else by_low - by_high
        with without_autocast(student.device):
            total += ctx.split.low(to_low)
        return ctx.layout.unpack(total), *[None] * 5


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
