"""Independent labels: each class of a sample is there or not."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fdkd_lightning.losses.tasks.per_output import PerOutputTask
from fdkd_lightning.types import IGNORE_INDEX


class MultiLabelTask(PerOutputTask):
    """Independent labels: each of K classes is there or not, learnt with binary cross-entropy.

    With a single output it is a yes/no label. ``weight`` and ``pos_weight`` of the loss have one
    entry per output. Metrics get probabilities, and labels as int64: 1 from 0.5 on, -100 for none.

    Args:
        loss: Loss of logits and labels; None: ``torch.nn.BCEWithLogitsLoss()``.
        pos_weight: Weight of each class's positive labels, for a loss that has none yet; None:
            those of the loss.

    Shape:
        - outputs: [N, K], [N, K, H, W] or [N]
        - target: the same: 0, 1 or a probability; NaN or -100 where there is no label
        - output: scalar

    Raises:
        TypeError: If the loss has no ``reduction``; by a call, if the target is no tensor of real
            numbers.
        ValueError: If ``reduction`` is not the mean, or a weight negative; by a call, if the target
            does not fit; by ``check``, if a label is not from 0 to 1.

    Example:
        >>> target = torch.tensor([[1.0, 0.0], [torch.nan, 1.0]])
        >>> MultiLabelTask()(torch.zeros(2, 2), target)  # log 2 for each of three labels
        tensor(0.6931)
    """

    labels: ClassVar[str] = "independent labels"
    outputs: ClassVar[str] = "scores whose sigmoid gives the probability of each label"
    criterion: ClassVar[str] = "BinaryKDLoss"
    losses: ClassVar[tuple[type[nn.Module], ...]] = (nn.BCEWithLogitsLoss,)

    def __init__(
        self, loss: nn.Module | None = None, pos_weight: Sequence[float] | None = None
    ) -> None:
        super().__init__(nn.BCEWithLogitsLoss() if loss is None else loss)
        if pos_weight is not None:
            self._set_weights("pos_weight", pos_weight)

    def labelled(self, target: Tensor) -> Tensor:
        """Return which entries are neither NaN nor -100."""
        return ~target.isnan() & (target != IGNORE_INDEX)

    def check_dtype(self, name: str, target: Any) -> None:
        """Raise unless the target is a tensor of real numbers."""
        if not isinstance(target, Tensor) or target.is_complex():
            kind = target.dtype if isinstance(target, Tensor) else type(target).__name__
            raise TypeError(f"{name} is {kind}: give a tensor of 0 and 1, NaN or -100 for none")

    def check_values(self, name: str, labels: Tensor) -> None:
        """Raise unless all labels are from 0 to 1."""
        if labels.numel() and (labels.min() < 0 or labels.max() > 1):
            raise ValueError(
                f"{name} ranges from {labels.min().item():g} to {labels.max().item():g}: give 0 or "
                "1 per class, NaN or -100 for none"
            )

    def predict(self, outputs: Tensor) -> Tensor:
        """Return the probability of each label, [N, K, ...]."""
        return (outputs.unsqueeze(1) if outputs.ndim == 1 else outputs).sigmoid()

    def metric_inputs(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities, and labels of 0, 1 and -100, both [N, K, ...]."""
        outputs, target = self.paired("target", outputs, target)
        labels = (target >= 0.5).long()
        # Not logits: torchmetrics would take those of a batch within 0 and 1 for probabilities.
        return self.predict(outputs), torch.where(self.labelled(target), labels, IGNORE_INDEX)
