"""Distances of the bands of vectors, and classifiers shared by both networks, as one function."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.ops.compare_bands import compare_bands
from fdkd_lightning.ops.distributed import share_of_label
from fdkd_lightning.ops.linear_split import LinearSplit, LowPart, without_autocast
from fdkd_lightning.types import IGNORE_INDEX

Plain = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor | None]]


def aligned_bands(
    student: Tensor,
    teacher: Tensor,
    part: LowPart,
    target: Tensor,
    parameters: tuple[Tensor, Tensor, Tensor, Tensor],
    plain: Plain,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Compare the bands of two networks, and classify those of both by the same classifiers.

    .. math::
        \ell_\mathrm{low}, \quad \ell_\mathrm{high}, \quad
        -\frac{1}{|L|} \sum_{m \in \{s, t\}} \sum_b \sum_{i \in L}
        \log \mathrm{softmax}(W_b \, \mathrm{ReLU}(X^m_{b,i}) + c_b)_{y_i},
        \quad L = \{i : y_i \neq -100\}

    The distances are those of :func:`~fdkd_lightning.ops.band_distances.band_distances`. Values and
    gradients are those of the plain form, up to rounding. It is faster since few operations are
    called: for small features these cost more than the arithmetic in them.

    Args:
        student: The student's features, at least float32.
        teacher: The teacher's features, of the same shape and dtype; they get no gradient.
        part: The projection onto the low band.
        target: Class indices of both networks; -100 where there is no label.
        parameters: The weights W of the classifiers of the low and the high band, and their biases
            c.
        plain: The distances and the bands from both features by automatic differentiation, which a
            second derivative uses.

    Returns:
        Both distances, and the sum of the four cross-entropies, each a mean over the labelled
        samples of all ranks.

    Shape:
        - student, teacher: [N, D]
        - target: [N] int64
        - parameters: two of [K, D], and two of [K]
        - output: three scalars

    Raises:
        RuntimeError: By torch, if a label is no class.

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 1-10.
    """
    result: tuple[Tensor, Tensor, Tensor] = _AlignedBands.apply(
        student, teacher, part, target, plain, *parameters
    )
    return result


class _AlignedBands(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        part: LowPart,
        target: Tensor,
        plain: Plain,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        n, size = student.shape
        gradient = student.new_empty(2, n, size) if ctx.needs_input_grad[0] else None
        bands = student.new_empty(2, 2, n, size)
        split = LinearSplit.of(part, student, -1)
        share = share_of_label(target, student.dtype)
        with torch.inference_mode():  # see compare_bands
            sums = compare_bands(student, teacher, split, gradient, bands)
            inputs, weight = bands.relu_().view(2, -1, size), torch.stack(parameters[:2])
            bias = torch.stack(parameters[2:]).unsqueeze(-1)
            # Classes before samples: for a few classes the softmax of that order takes a tenth of
            # the time, the product half. In place: baddbmm takes twice as long as both.
            scores = torch.bmm(weight, inputs.mT).add_(bias)
            logarithms = scores.log_softmax(1).view(2, -1, 2, n)
            label = target.expand(2, 2, n).contiguous()
            # Not reduced: on a GPU the reduced form of this layout is not deterministic.
            losses = F.nll_loss(logarithms, label, ignore_index=IGNORE_INDEX, reduction="none")
            total = losses.sum()
        ctx.split, ctx.plain = split, plain
        # Those made in inference mode cannot be saved, and are kept; they are small.
        ctx.kept = weight, logarithms, label, share
        ctx.save_for_backward(gradient, bands, student, teacher, target, *parameters)
        low, high = (sums / student.numel()).unbind()
        return low, high, total * share

    @staticmethod
    def backward(ctx: Any, low: Tensor, high: Tensor, align: Tensor) -> tuple[Tensor | None, ...]:
        weight, logarithms, label, share = ctx.kept
        gradient, bands, student, teacher, target, *parameters = ctx.saved_tensors
        by_student, by_bands = None, None
        with without_autocast(share.device):
            if torch.is_grad_enabled():  # it will be differentiated again
                distances = ctx.plain(student, teacher.detach())
                classified = share * _cross_entropy_sum(distances[2], target, parameters)
                total = low * distances[0] + high * distances[1] + align * classified
                sources = [x for x in (student, *parameters) if x.requires_grad]
                found = iter(torch.autograd.grad(total, sources, create_graph=True))
                given = [next(found) if x.requires_grad else None for x in (student, *parameters)]
                return given[0], *[None] * 4, *given[1:]
            with torch.inference_mode():
                inputs = bands.view(2, -1, bands.shape[-1])
                by_losses = (align * share).expand(label.shape)
                by_logarithms = torch.ops.aten.nll_loss2d_backward(
                    by_losses, logarithms, label, None, 0, IGNORE_INDEX, share
                )
                by_scores = torch.ops.aten._log_softmax_backward_data(
                    by_logarithms, logarithms, 1, logarithms.dtype
                ).flatten(2)
                if ctx.needs_input_grad[0]:
                    own = slice(label.shape[-1])
                    by_bands = torch.bmm(by_scores[:, :, own].mT, weight)
                    through_relu = torch.ops.aten.threshold_backward.grad_input
                    through_relu(by_bands, inputs[:, own], 0, grad_input=by_bands)
                    by_bands.addcmul_(gradient, torch.stack((low, high)).view(2, 1, 1))
            # Not in inference mode: these leave the function.
            if by_bands is not None:
                by_student = ctx.split.join(by_bands)
            by_weights = torch.bmm(by_scores, inputs)
        return by_student, *[None] * 4, *by_weights.unbind(), *by_scores.sum(-1).unbind()


def _cross_entropy_sum(bands: Tensor, target: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    both, total = torch.cat((target, target)), bands.new_zeros(())
    for x, weight, bias in zip(bands, parameters[:2], parameters[2:], strict=True):
        scores = F.linear(x.relu(), weight, bias)
        total = total + F.cross_entropy(scores, both, ignore_index=IGNORE_INDEX, reduction="sum")
    return total
