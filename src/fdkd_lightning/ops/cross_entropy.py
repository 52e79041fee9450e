"""Cross-entropy over the samples that have a label, wherever they are."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from fdkd_lightning.ops.distributed import mean_over_ranks
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import IGNORE_INDEX


def cross_entropy(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over the labelled samples of the batch, of all processes together.

    Under DDP each process holds a different number of labels. Dividing by its own number would
    weigh a label by how few neighbours it has; here every label weighs the same, so that the
    gradient averaged over the processes is that of one process with the whole batch. (The value
    itself is this process's share, which averages to that of the whole batch.) All processes must
    call it equally often, as they do in a training step.

    Args:
        logits: Class scores.
        target: Class indices, -100 where there is no label.
        label_smoothing: The share of each target that goes to all classes alike.

    Returns:
        A scalar; zero, with zero gradient, where no sample has a label.

    Shape:
        - logits: [N, K] or [N, K, H, W]
        - target: [N] or [N, H, W]

    Example:
        >>> round(cross_entropy(torch.zeros(3, 4), torch.tensor([1, -100, 2])).exp().item(), 4)
        4.0
        >>> cross_entropy(torch.zeros(3, 4), torch.full((3,), -100))
        tensor(0.)
    """
    return mean_over_ranks(*cross_entropy_sum(logits, target, label_smoothing))


def cross_entropy_sum(
    logits: Tensor, target: Tensor, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The sum over this process's labelled samples, and their number, both as scalars.

    Args:
        logits: Class scores.
        target: Class indices, -100 where there is no label.
        label_smoothing: The share of each target that goes to all classes alike.

    Shape:
        - logits: [N, K] or [N, K, H, W]
        - target: [N] or [N, H, W]
    """
    # A half can hold neither the number of pixels in a batch nor the sum of their losses.
    logits = at_least_float32(logits)
    total = F.cross_entropy(
        logits,
        target,
        ignore_index=IGNORE_INDEX,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return total, (target != IGNORE_INDEX).sum().to(total.dtype)


class MeanCrossEntropy(Metric):
    """Mean cross-entropy over the labels of all batches and ranks.

    NaN without labels, and where a loss is NaN.

    Shape:
        - logits: [N, K] or [N, K, H, W]
        - target: [N] or [N, H, W]; -100 where there is no label
        - output: scalar

    Example:
        >>> metric = MeanCrossEntropy()
        >>> metric.update(torch.zeros(3, 4), torch.tensor([1, -100, 2]))
        >>> metric.update(torch.zeros(2, 4), torch.tensor([-100, -100]))
        >>> round(metric.compute().exp().item(), 4)
        4.0
    """

    # Not torchmetrics' MeanMetric with weights: it adds in place, which fails on states left by an
    # evaluation in inference mode, and mean * weight does not always give the sum exactly back.

    full_state_update = False
    total: Tensor
    labelled: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("labelled", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch, as in :func:`cross_entropy`."""
        total, labelled = cross_entropy_sum(logits, target)
        self.total = self.total + total
        self.labelled = self.labelled + labelled

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.labelled
