"""One class per sample or pixel."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.ops.cross_entropy import cross_entropy_sum
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import check_classes, check_has_classes, check_labels
from fdkd_lightning.types import IGNORE_INDEX


class OneClassTask(Task):
    """One class per sample or pixel, learnt with cross-entropy unless another loss is given.

    With class weights the loss is the weighted mean, as in torch: the sum of the weighted losses
    over the sum of the weights, here of all ranks.

    Args:
        loss: Loss of logits and classes; None: ``torch.nn.CrossEntropyLoss()``.
        weight: Weight of each class, for a loss that has none yet; None: those of the loss.

    Shape:
        - outputs: [N, K] or [N, K, H, W], K at least 2
        - target: [N] or [N, H, W] int64, -100 where there is no label
        - output: scalar

    Raises:
        TypeError: If the loss has no ``reduction``; by a call, if the target is not int64.
        ValueError: If ``reduction`` is not the mean, ``ignore_index`` not -100, or a weight is
            negative; by a call, if the target does not fit, there are fewer than two classes, or
            the weights are not K.

    Example:
        >>> task = OneClassTask(weight=[1.0, 3.0])
        >>> logits = torch.tensor([[1.0, 3.0], [1.0, 1.0], [9.0, 0.0]]).log()
        >>> task(logits, torch.tensor([0, 1, -100]))  # (log 4 + 3 log 2) / (1 + 3)
        tensor(0.8664)
    """

    labels: ClassVar[str] = "one class per sample"
    outputs: ClassVar[str] = "scores whose softmax gives the probabilities of the classes"
    criterion: ClassVar[str] = "KDLoss"
    losses: ClassVar[tuple[type[nn.Module], ...]] = (nn.CrossEntropyLoss,)

    def __init__(
        self, loss: nn.Module | None = None, weight: Sequence[float] | None = None
    ) -> None:
        super().__init__(nn.CrossEntropyLoss() if loss is None else loss)
        if weight is not None:
            self._set_weights("weight", weight)
        ignored = getattr(self.loss, "ignore_index", IGNORE_INDEX)
        if ignored != IGNORE_INDEX:
            raise ValueError(
                f"task_loss has ignore_index={ignored}: leave it at {IGNORE_INDEX}, which is the "
                "label of samples without one"
            )

    def sums(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, summed over this rank's labels, and their number or weight."""
        if type(self.loss) is nn.CrossEntropyLoss:
            return cross_entropy_sum(outputs, target, self.loss.label_smoothing, self.loss.weight)
        self._check_shape("target", target, outputs)
        labelled = target != IGNORE_INDEX
        # A class that exists; its loss is not counted.
        values = self.loss(at_least_float32(outputs), target.masked_fill(~labelled, 0))
        if values.shape != target.shape:
            raise ValueError(
                f"task_loss {type(self.loss).__name__} returns {list(values.shape)} for target "
                f"{list(target.shape)}: let reduction='none' give a value per label"
            )
        return values.masked_fill(~labelled, 0).sum(), labelled.sum().to(values.dtype)

    def check(self, name: str, target: Any, outputs: Tensor) -> None:
        """Raise unless each label is a class of the logits or -100."""
        self._check_shape(name, target, outputs)
        check_classes(name, target, outputs)

    def unlabelled(self, outputs: Tensor) -> Tensor:
        """Return -100 for each sample."""
        return outputs.new_full((len(outputs),), IGNORE_INDEX, dtype=torch.int64)

    def positions(self, target: Tensor, channels: int) -> torch.Size:
        """Return all but the first size of the target."""
        return target.shape[1:]

    def predict(self, outputs: Tensor) -> Tensor:
        """Return the probabilities of the classes."""
        return outputs.softmax(1)

    def metric_inputs(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and classes."""
        return outputs, target

    def _check_shape(self, name: str, target: Any, outputs: Tensor) -> None:
        size = outputs.shape[:1] + outputs.shape[2:]
        check_labels(name, target, size, f"logits of shape {list(outputs.shape)}")
        check_has_classes(outputs)
