"""Base class of losses that wrap other losses."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping

from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.types import Output


class WrapperLoss(DistillationLoss):
    """Base class of losses that hold other losses and compute their terms from theirs.

    A subclass names the losses it holds, each with a prefix, and computes the terms. Everything
    else is forwarded: the task, the epoch and ``build`` reach every wrapped loss, heads and logged
    values are collected under the prefixes, the warm-up ends with the last one, and a single loss
    whose parts belong to one teacher suffices.

    Example:
        >>> import torch
        >>> from fdkd_lightning.losses.feature import FeatureLoss
        >>> class Halved(WrapperLoss):
        ...     def __init__(self, criterion):
        ...         super().__init__()
        ...         self.criterion = criterion
        ...     def wrapped(self):
        ...         return {"": self.criterion}
        ...     def forward(self, student, teacher, target):
        ...         terms = self.criterion(student, teacher, target)
        ...         return {name: term / 2 for name, term in terms.items()}
        >>> outputs = (Output(torch.full((2, 8), x), torch.zeros(2, 3)) for x in (0.0, 2.0))
        >>> Halved(FeatureLoss())(*outputs, torch.tensor([0, 1]))
        {'feature': tensor(2.)}
    """

    @abstractmethod
    def wrapped(self) -> dict[str, DistillationLoss]:
        """Return the wrapped losses by the prefix of their names, such as ``"kd/"`` or ``""``."""

    def inputs_of(
        self, prefix: str, student: Output, teacher: Output | None
    ) -> tuple[Output, Output | None]:
        """Return the outputs that a wrapped loss compares; unchanged by default.

        Args:
            prefix: The loss's key in :meth:`wrapped`.
            student: The student's output.
            teacher: The teacher's output, if there is one.
        """
        return student, teacher

    def set_task(self, task: Task) -> None:
        """Pass the task to every wrapped loss; each refuses those that it is not for."""
        super().set_task(task)
        for loss in self.wrapped().values():
            loss.set_task(task)

    def single_teacher_only(self) -> bool:
        """Whether one of the wrapped losses has parts that belong to one teacher."""
        return any(loss.single_teacher_only() for loss in self.wrapped().values())

    def warmup_epochs(self) -> int:
        """Return the number of epochs until all wrapped losses are complete."""
        return max(loss.warmup_epochs() for loss in self.wrapped().values())

    def build(self, student: Output, teacher: Output | None) -> None:
        """Build every wrapped loss."""
        for prefix, loss in self.wrapped().items():
            loss.build(*self.inputs_of(prefix, student, teacher))

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch to every wrapped loss."""
        for loss in self.wrapped().values():
            loss.set_epoch(epoch)

    def heads(self, student: Output) -> dict[str, Tensor]:
        """Collect the heads' logits of all wrapped losses, under their prefixes."""
        return with_prefixes(
            {
                prefix: loss.heads(self.inputs_of(prefix, student, None)[0])
                for prefix, loss in self.wrapped().items()
            }
        )

    def logged_values(self) -> dict[str, Tensor]:
        """Collect the logged values of all wrapped losses, under their prefixes."""
        return with_prefixes(
            {prefix: loss.logged_values() for prefix, loss in self.wrapped().items()}
        )


def flattened(criterion: DistillationLoss) -> Iterator[DistillationLoss]:
    """Iterate over a loss and all losses that it wraps.

    Example:
        >>> from fdkd_lightning.losses.composite import CompositeLoss
        >>> from fdkd_lightning.losses.feature import FeatureLoss
        >>> [type(x).__name__ for x in flattened(CompositeLoss({"feature": FeatureLoss()}))]
        ['CompositeLoss', 'FeatureLoss']
    """
    yield criterion
    if isinstance(criterion, WrapperLoss):
        for loss in criterion.wrapped().values():
            yield from flattened(loss)


def with_prefixes(values: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Merge named tensors under the prefixes of their groups.

    Example:
        >>> import torch
        >>> with_prefixes({"kd/": {"kd": torch.tensor(1.0)}, "": {"task": torch.tensor(2.0)}})
        {'kd/kd': tensor(1.), 'task': tensor(2.)}
    """
    return {prefix + name: x for prefix, group in values.items() for name, x in group.items()}
