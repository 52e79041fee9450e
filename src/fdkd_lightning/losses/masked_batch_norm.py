"""Batch normalisation over the rows that count, of all ranks, and a projection with it."""

import torch
import torch.distributed.nn.functional as dist
from torch import Tensor, nn

from fdkd_lightning.losses.pixels import check_width
from fdkd_lightning.ops.distributed import world_size
from fdkd_lightning.ops.normalize import NEGLIGIBLE
from fdkd_lightning.ops.precision import at_least_float32


class MaskedBatchNorm(nn.Module):
    """``torch.nn.SyncBatchNorm`` of the rows in a mask: void pixels have no part in its statistics.

    In training, mean and variance are those of all ranks' rows, as in the official code of CIRKD.
    Rows outside the mask are normalised by them, too. Without any row, or in evaluation, the
    running statistics are used.

    Args:
        features: Size of a row.
        eps: Added to the variance.
        momentum: Share of a batch in the running statistics.

    Shape:
        - x: [R, D]
        - mask: [R], bool
        - output: [R, D], at least float32

    Example:
        >>> norm = MaskedBatchNorm(1, eps=0)
        >>> norm(torch.tensor([[1.0], [3.0], [99.0]]), torch.tensor([True, True, False]))[:2]
        tensor([[-1.],
                [ 1.]], grad_fn=<SliceBackward0>)
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalise the rows."""
        x = at_least_float32(x)
        mean, variance = self.running_mean.to(x.dtype), self.running_var.to(x.dtype)
        if self.training:
            mean, variance = self._statistics(x, mask, mean, variance)
        # What rounding leaves of a constant is no signal; what follows may normalise it to one.
        residue = NEGLIGIBLE * torch.finfo(x.dtype).eps * mean.detach().abs()
        centred = torch.where(variance.detach().sqrt() <= residue, 0.0, x - mean)
        return centred * (variance + self.eps).rsqrt() * self.weight + self.bias

    def _statistics(
        self, x: Tensor, mask: Tensor, mean: Tensor, variance: Tensor
    ) -> tuple[Tensor, Tensor]:
        column = mask[:, None]
        count = _sum_over_ranks(mask.sum().to(x.dtype).view(1))
        divisor = count.clamp_min(1)
        total = _sum_over_ranks(torch.where(column, x, 0.0).sum(0))
        mean = torch.where(count > 0, total / divisor, mean)
        squares = torch.where(column, x - mean, 0.0).square().sum(0)
        squares = _sum_over_ranks(squares)
        variance = torch.where(count > 0, squares / divisor, variance)
        with torch.no_grad():
            unbiased = squares / (count - 1).clamp_min(1)
            for running, batch in ((self.running_mean, mean), (self.running_var, unbiased)):
                share = self.momentum * (count > 0).to(x.dtype)
                running.copy_(running + share * (batch - running))
        return mean, variance


class PixelProjection(nn.Module):
    """Two 1x1 convolutions with batch normalisation and ReLU between them, of pixels as rows.

    Args:
        in_features: Channels of the student.
        out_features: Channels of the teacher.

    Shape:
        - x: [R, in_features]
        - mask: [R], bool: the rows that count
        - output: [R, out_features]

    Reference:
        winycg/CIRKD, losses/cirkd_memory.py (project_head).

    Example:
        >>> projection = PixelProjection(4, 8)
        >>> projection(torch.zeros(3, 4), torch.ones(3, dtype=torch.bool)).shape
        torch.Size([3, 8])
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.first = nn.Linear(in_features, out_features, bias=False)
        self.norm = MaskedBatchNorm(out_features)
        self.second = nn.Linear(out_features, out_features, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Project the rows."""
        check_width(x, self.first.in_features)
        weight = self.first.weight
        hidden = self.norm(self.first(x.to(weight.dtype)), mask).relu()
        projected: Tensor = self.second(hidden.to(weight.dtype))
        return projected


def _sum_over_ranks(x: Tensor) -> Tensor:
    """Sum with gradient, as SyncBatchNorm needs it."""
    if world_size() == 1:
        return x
    total: Tensor = dist.all_reduce(x.contiguous())  # type: ignore[no-untyped-call]  # torch does not annotate its only sum with a gradient
    return total
