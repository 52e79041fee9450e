"""Contract of all tasks: what labels mean, and the loss with which a network learns them."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fdkd_lightning.ops.checks import check_weights
from fdkd_lightning.ops.distributed import mean_over_ranks


class Task(nn.Module, ABC):
    r"""Base class of tasks: what labels mean, and the loss with which a network learns them.

    .. math:: s_r = R \, \frac{\sum_{i \in U_r} \ell(z_i, y_i)}{|U|},
        \quad U = \textstyle\bigcup_r U_r

    :math:`U_r` are the labels of rank r; there are R ranks. As in
    :func:`~fdkd_lightning.cross_entropy`, every label weighs the same, whatever rank has it, and
    without any label the loss is 0.

    Args:
        loss: Loss of outputs and labels that returns one value per label once its ``reduction`` is
            ``"none"``. It is copied.

    Shape:
        - outputs: [N, K], [N, K, H, W] or [N]
        - target: see the subclasses
        - output: scalar

    Raises:
        TypeError: If the loss is no module, or has no ``reduction``.
        ValueError: If its ``reduction`` is not the mean.

    Example:
        >>> from fdkd_lightning.losses.tasks.regression import RegressionTask
        >>> class Positive(RegressionTask):
        ...     def check_values(self, name, labels):
        ...         super().check_values(name, labels)
        ...         if (labels <= 0).any():
        ...             raise ValueError(f"{name} has a value that is not above 0: check its unit")
        >>> Positive(nn.L1Loss())(torch.tensor([[1.0], [2.0]]), torch.tensor([3.0, torch.nan]))
        tensor(2.)
    """

    labels: ClassVar[str]
    """The labels, in words."""

    outputs: ClassVar[str]
    """The outputs, in words."""

    criterion: ClassVar[str]
    """Distillation loss that compares the outputs of such networks."""

    losses: ClassVar[tuple[type[nn.Module], ...]]
    """Losses that have this meaning without being wrapped."""

    has_classes: ClassVar[bool] = True
    """Whether each output belongs to a class of the data module's ``class_names``."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        name = type(loss).__name__
        reduction = getattr(loss, "reduction", None)
        if not isinstance(loss, nn.Module) or reduction is None:
            raise TypeError(
                f"task_loss is of type {name}, without a `reduction`: give a loss that returns a "
                f"value per label with reduction='none', such as {self.losses[0].__name__}()"
            )
        if reduction != "mean":
            raise ValueError(
                f"task_loss {name} has reduction={reduction!r}: leave it at 'mean', the mean over "
                "all labels"
            )
        self.loss = copy.deepcopy(loss)
        self.loss.reduction = "none"  # type: ignore[assignment]  # torch types every attribute of a module as one

    def forward(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Return this rank's share of the mean loss over the labels of all ranks."""
        return mean_over_ranks(*self.sums(outputs, target))

    def nothing(self, device: torch.device) -> Tensor:
        """Return the share of a rank without samples: 0; other ranks wait for its count."""
        zero = torch.zeros((), device=device)
        return mean_over_ranks(zero, zero)

    @abstractmethod
    def sums(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss over this rank's labels, and their number (or weight).

        Shape:
            - output: two scalars, both of a floating-point dtype
        """

    @abstractmethod
    def check(self, name: str, target: Any, outputs: Tensor) -> None:
        """Raise unless the target has labels of this meaning for the outputs.

        It reads values: use it on the first batch only.

        Args:
            name: Name of the target, for the error.
            target: The target.
            outputs: The network's outputs for the same samples.
        """

    @abstractmethod
    def unlabelled(self, outputs: Tensor) -> Tensor:
        """Return the target of samples without any label."""

    @abstractmethod
    def positions(self, target: Tensor, channels: int) -> torch.Size:
        """Return the height and width of a target's labels; empty for one label per sample.

        Args:
            target: The target.
            channels: K, the number of outputs.
        """

    @abstractmethod
    def predict(self, outputs: Tensor) -> Tensor:
        """Return what outputs predict: probabilities, or numbers, [N, K, ...]."""

    @abstractmethod
    def metric_inputs(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return predictions and labels as the task's metrics take them."""

    def _set_weights(self, name: str, values: Sequence[float]) -> None:
        """Give the loss weights as numbers; torch takes a tensor, which no YAML file can hold."""
        if getattr(self.loss, name, "") is not None:
            raise ValueError(
                f"{name}={list(values)!r:.60} is for a loss with `{name}` that has none yet, and "
                f"{type(self.loss).__name__} is not: leave it out"
            )
        check_weights(**{f"{name}[{i}]": value for i, value in enumerate(values)})
        if not any(values):
            raise ValueError(
                f"{name}={list(values)!r:.60} has no weight above 0: give one per class"
            )
        self.loss.register_buffer(name, torch.tensor(values, dtype=torch.float32))

    def title(self) -> str:
        """Return name and meaning of the loss, for errors: "MSELoss (numbers)"."""
        return f"{type(self.loss).__name__} ({self.labels})"
