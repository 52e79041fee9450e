"""Base of the tasks in which each output of a network has a label of its own."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import check_tensor


class PerOutputTask(Task):
    """Base of the tasks in which each output of a network has a label of its own.

    The target has the shape of the outputs; with a single output its axis may be missing in one of
    them, [N] for [N, 1]. No other difference is broadcast.
    """

    @abstractmethod
    def labelled(self, target: Tensor) -> Tensor:
        """Return which entries of the target are labels.

        Shape:
            - output: as the target, bool
        """

    @abstractmethod
    def check_dtype(self, name: str, target: Any) -> None:
        """Raise unless the target is a tensor of an allowed dtype."""

    def sums(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, summed over this rank's labels, and their number."""
        outputs, target = self.paired("target", outputs, target)
        # Channels last, along which weights of the outputs are broadcast.
        outputs, target = outputs.movedim(1, -1), target.movedim(1, -1)
        missing = ~self.labelled(target)
        outputs = at_least_float32(outputs).masked_fill(missing, 0)
        values = self.loss(outputs, target.masked_fill(missing, 0).to(outputs.dtype))
        if values.shape != outputs.shape:
            raise ValueError(
                f"task_loss {type(self.loss).__name__} returns {list(values.shape)} for outputs "
                f"{list(outputs.shape)}: let reduction='none' give a value per output"
            )
        return values.masked_fill(missing, 0).sum(), (~missing).sum().to(values.dtype)

    def check(self, name: str, target: Any, outputs: Tensor) -> None:
        """Raise unless the target fits the outputs, and weights of the loss do too."""
        outputs, target = self.paired(name, outputs, target)
        for weights in ("weight", "pos_weight"):
            given = getattr(self.loss, weights, None)
            if given is not None and given.numel() > 1 and given.shape != outputs.shape[1:2]:
                raise ValueError(
                    f"task_loss has {weights} of shape {list(given.shape)}: give one per output, "
                    f"[{outputs.shape[1]}]"
                )
        self.check_values(name, target[self.labelled(target)])

    @abstractmethod
    def check_values(self, name: str, labels: Tensor) -> None:
        """Raise unless all labels have allowed values.

        Shape:
            - labels: one axis, without missing ones
        """

    def unlabelled(self, outputs: Tensor) -> Tensor:
        """Return NaN for each output."""
        return torch.full_like(outputs, torch.nan)

    def positions(self, target: Tensor, channels: int) -> torch.Size:
        """Return the sizes of the target behind samples and outputs."""
        has_channels = target.ndim > 1 and target.shape[1] == channels
        return target.shape[2:] if has_channels else target.shape[1:]

    def paired(self, name: str, outputs: Tensor, target: Any) -> tuple[Tensor, Tensor]:
        """Return outputs and target, both [N, K, ...], or raise if they do not fit.

        Raises:
            TypeError: If the target is no tensor, or of another dtype.
            ValueError: If their shapes differ by more than the axis of a single output.
        """
        check_tensor("outputs", outputs, "[N, K], [N, K, H, W] or [N]", *range(1, 6))
        self.check_dtype(name, target)
        sizes = outputs.shape, target.shape
        if outputs.ndim == 1:
            outputs = outputs.unsqueeze(1)
        if target.shape == outputs.shape[:1] + outputs.shape[2:] and outputs.shape[1] == 1:
            target = target.unsqueeze(1)
        if not outputs.shape[1] or target.shape != outputs.shape:
            raise ValueError(
                f"{name} has shape {list(sizes[1])}, which does not fit outputs {list(sizes[0])} "
                f"of a task with {self.labels}: give one label per output, {list(sizes[0])}"
            )
        return outputs, target
