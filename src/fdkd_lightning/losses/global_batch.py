"""Criterion evaluated on the samples of all ranks."""

from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.losses.wrapper import WrapperLoss
from fdkd_lightning.ops.distributed import gather_distinct_rows
from fdkd_lightning.ops.nested import map_tensors
from fdkd_lightning.types import Output


class GlobalBatch(WrapperLoss):
    r"""Apply a criterion to the samples of all ranks: batch statistics over the global batch.

    .. math:: L(X_1 \cup \dots \cup X_R), \quad
        \frac{1}{R} \sum_r \nabla_r = \nabla L

    Without it a rank compares its own samples alone, and DDP averages the gradients of R smaller
    batches. That is the gradient of the global batch where a term is a mean over samples, and
    another where samples are compared with each other or normalised by their statistics:
    :class:`DISTLoss`, :class:`PKDLoss`, :class:`SPLoss`, :class:`RKDLoss`, :class:`HintLoss`,
    :class:`C2KDLoss`, :class:`AFDLoss`. :class:`InfoNCELoss`, and the memories of :class:`CRDLoss`
    and :class:`CIRKDLoss`, are those of all ranks in any case.

    A rank's own samples keep their gradient, times R, so that the average over ranks, which DDP and
    FSDP take, is the gradient of one process with all samples. Ranks may have different numbers of
    samples; each sample then weighs the same. On one device nothing is changed, and samples that
    are gathered already, because some lack a modality, are not gathered again.

    Each rank holds and compares all samples: features, logits and maps of the global batch. Leave
    maps that no criterion reads out of the networks' outputs.

    Args:
        criterion: The criterion; in a :class:`CompositeLoss`, only that which needs it.

    Shape:
        - features, logits, maps, target: as the criterion requires; all but N the same on all ranks

    Raises:
        ValueError: If shapes differ between ranks in more than N.

    Example:
        >>> import torch
        >>> from fdkd_lightning.losses.dist import DISTLoss
        >>> output = Output(torch.ones(2, 8), torch.tensor([[9.0, 0.0], [0.0, 9.0]]))
        >>> terms = GlobalBatch(DISTLoss())(output, output, torch.tensor([0, 1]))
        >>> {name: round(term.item(), 4) for name, term in terms.items()}
        {'inter': 0.0, 'intra': 0.0}
    """

    def __init__(self, criterion: DistillationLoss) -> None:
        super().__init__()
        self.criterion = criterion

    def wrapped(self) -> dict[str, DistillationLoss]:
        """Return the criterion, without a prefix."""
        return {"": self.criterion}

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Compute the criterion's terms for the samples of all ranks."""
        pair = student, teacher, target
        tensors: list[Tensor] = []
        map_tensors(pair, tensors.append)
        gathered = iter(gather_distinct_rows(*tensors))
        return self.criterion(*map_tensors(pair, lambda _: next(gathered)))
