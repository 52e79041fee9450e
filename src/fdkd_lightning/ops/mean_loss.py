"""Mean of a loss over the labels of all batches and ranks, as a metric."""

import torch
from torch import Tensor
from torchmetrics import Metric


class MeanLoss(Metric):
    """Mean of a loss over the labels of all batches and ranks, as a metric.

    The value is NaN if there was no label, or if the network has diverged.

    Shape:
        - total, labelled, output: scalars

    Example:
        >>> metric = MeanLoss()
        >>> metric.update(torch.tensor(6.0), torch.tensor(2.0))
        >>> metric.update(torch.tensor(0.0), torch.tensor(0.0))
        >>> metric.compute()
        tensor(3.)
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

    def update(self, total: Tensor, labelled: Tensor) -> None:
        """Add a batch: the sum of the loss over its labels, and their number or weight."""
        # Not in place: an earlier evaluation may have left inference tensors as states.
        self.total = self.total + total
        self.labelled = self.labelled + labelled

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.labelled
