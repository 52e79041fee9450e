"""Distances of maps over the positions that have a label."""

from torch import Tensor, nn

from fdkd_lightning.losses.pixels import labels_at, zero_where_void
from fdkd_lightning.ops.distributed import mean_over_ranks
from fdkd_lightning.types import IGNORE_INDEX, Output


class LabelledPositions:
    """The positions of a map whose nearest pixel has a label.

    Args:
        target: Class of each pixel, -100 for none.
        features: The map.

    Shape:
        - target: [N, H, W]
        - features: [N, D, H', W']

    Raises:
        ValueError: If the features are no maps, or the target has no pixels.

    Example:
        >>> import torch
        >>> x = torch.tensor([[[[1.0, 9.0]]]])
        >>> labelled = LabelledPositions(torch.tensor([[[0, -100]]]), x)
        >>> labelled.distance(nn.MSELoss(), x, torch.zeros_like(x))
        tensor(1.)
    """

    def __init__(self, target: Tensor, features: Tensor) -> None:
        if features.ndim != 4 or target.ndim != 3 or len(target) != len(features):
            raise ValueError(
                f"void='exclude' got features {list(features.shape)} and target "
                f"{list(target.shape)}: give maps [N, D, H, W] and a class per pixel, or 'keep'"
            )
        self.mask = labels_at(target, features.shape[2:]) != IGNORE_INDEX

    def select(self, output: Output) -> Output:
        """Set the features at other positions to zero, whatever they hold."""
        return output._replace(features=zero_where_void(output.features, self.mask))

    def distance(self, loss: nn.Module, student: Tensor, teacher: Tensor) -> Tensor:
        """Compute this rank's share of the mean distance over the labelled positions of all ranks.

        Args:
            loss: Distance, a mean over all elements, that is 0 between zeros.
            student: The student's map.
            teacher: The teacher's map.

        Shape:
            - student, teacher: [N, D, H', W']
            - output: scalar, 0 without labelled positions
        """
        if not student.numel():
            return mean_over_ranks(student.sum(), self.mask.sum().to(student.dtype))
        return self.share(
            loss(zero_where_void(student, self.mask), zero_where_void(teacher, self.mask))
        )

    def share(self, mean: Tensor) -> Tensor:
        """Turn a mean over all positions, 0 at void ones, into one over the labelled positions.

        Shape:
            - mean, output: scalar
        """
        count = self.mask.sum().to(mean.dtype)
        return mean_over_ranks(mean * self.mask.numel(), count)


def distance(
    loss: nn.Module, student: Tensor, teacher: Tensor, labelled: LabelledPositions | None
) -> Tensor:
    """Compute the mean distance of two networks' features, 0 for an empty batch.

    Args:
        loss: Distance, a mean over all elements.
        student: The student's features.
        teacher: The teacher's features.
        labelled: The positions that count; None: all.

    Shape:
        - student, teacher: any, the same
        - output: scalar

    Example:
        >>> import torch
        >>> distance(nn.MSELoss(), torch.zeros(2, 8), torch.ones(2, 8), None)
        tensor(1.)
    """
    if labelled is not None:
        return labelled.distance(loss, student, teacher)
    # The mean over no samples would be NaN.
    total: Tensor = loss(student, teacher) if student.numel() else student.sum()
    return total
