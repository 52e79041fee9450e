"""Contract of all distillation losses."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from fdkd_lightning.losses.outputs import check_outputs
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.ops.checks import refuse_renamed_methods
from fdkd_lightning.ops.tensor_checks import check_has_classes, check_labels
from fdkd_lightning.types import IGNORE_INDEX, Output

RENAMED_METHODS = {
    "record": "logged_values",
    "keeps_to_one_teacher": "single_teacher_only",
    "whole_from": "warmup_epochs",
}


class DistillationLoss(nn.Module, ABC):
    """Base class of criteria that compare a student with a teacher, as named terms.

    A loss takes two :class:`~fdkd_lightning.Output` and the target, never the batch, a path or the
    trainer. Its terms are already weighted. The caller sums them, logs each under its name, and
    adds the task loss. Samples with target -100 (NaN for numbers and independent labels) take full
    part in every distance and none in any loss of labels.

    Raises:
        TypeError: If a subclass defines a method under a name of an earlier version; by a call, if
            an argument has another type.
        ValueError: By a call, if tensors are not floating-point.

    Example:
        >>> import torch
        >>> class L1(DistillationLoss):
        ...     def forward(self, student, teacher, target):
        ...         teacher = require_teacher(self, teacher)
        ...         return {"l1": (student.features - teacher.features).abs().mean()}
        >>> output = Output(torch.ones(2, 8), torch.zeros(2, 3))
        >>> L1()(output, output, torch.tensor([0, 1]))
        {'l1': tensor(0.)}
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        refuse_renamed_methods(cls, RENAMED_METHODS)

    def __call__(
        self, student: Output, teacher: Output | None, target: Tensor
    ) -> dict[str, Tensor]:
        """Check types and dtypes, then compute the terms by ``forward``."""
        check_outputs(student, teacher)
        terms: dict[str, Tensor] = super().__call__(student, teacher, target)
        return terms

    @abstractmethod
    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Compute the terms, each a weighted scalar.

        Args:
            student: The student's output, with gradients.
            teacher: The frozen teacher's output for the same samples. With None the loss returns
                the terms that need no teacher (the teacher-free control); if there are none, it
                raises :class:`TeacherRequiredError`.
            target: Class indices, -100 where there is no label; for other tasks their labels.

        Shape:
            - target: [N], or [N, H, W] for maps; else as the :class:`Task` states
        """

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the modules whose sizes were not given, from the outputs of one batch.

        Called before the optimizers are created, and before a checkpoint is loaded for evaluation;
        then the outputs have the shapes of training, and no values. Existing modules stay
        unchanged. A loss without such modules need not override it.

        Args:
            student: The student's output.
            teacher: The teacher's output, if there is one.
        """

    def tasks(self) -> tuple[type[Task], ...]:
        """Return the tasks whose outputs and labels the terms can use; all by default.

        A loss of logits or labels overrides it: a softmax needs ``(OneClassTask,)``.
        """
        return (Task,)

    def set_task(self, task: Task) -> None:
        """Set what the labels mean, once, before :meth:`build`.

        Args:
            task: The task; its loss is the student's.

        Raises:
            ValueError: If it is none of :meth:`tasks`.
        """
        if not isinstance(task, self.tasks()):
            needed = " or ".join(kind.labels for kind in self.tasks())
            raise ValueError(
                f"{type(self).__name__} is for {needed}, but task_loss is {task.title()}: choose "
                f"{task.criterion}, or a criterion of features, such as FeatureLoss"
            )

    def single_teacher_only(self) -> bool:
        """Whether parts of the loss belong to one teacher, so that several cannot share it."""
        return False

    def warmup_epochs(self) -> int:
        """Return the first epoch, counted from 0, in which the loss is complete."""
        return 0

    def set_epoch(self, epoch: int) -> None:
        """Set the current epoch, the only training state that a loss sees.

        Args:
            epoch: Counted from 0.
        """

    def heads(self, student: Output) -> dict[str, Tensor]:
        """Compute the logits of classifiers that are trained beside the student's, by name.

        They are logged beside the student's own head and never reported as the result: which head
        counts is decided before training, not on test data.

        Args:
            student: The student's output.

        Shape:
            - output: [N, K] or [N, K, H, W] each
        """
        return {}

    def logged_values(self) -> dict[str, Tensor]:
        """Return learned scalars to log each epoch, by name, such as a cut-off frequency."""
        return {}


class TeacherRequiredError(ValueError):
    """Raised by a loss that has no term without a teacher, and was given none."""


def require_teacher(loss: nn.Module, teacher: Output | None) -> Output:
    """Return the teacher's output, or raise if there is none.

    Args:
        loss: The loss, which the error names.
        teacher: The teacher's output, or None.

    Raises:
        TeacherRequiredError: If ``teacher`` is None; :class:`CompositeLoss` then leaves this loss
            out.

    Example:
        >>> output = Output(torch.ones(2, 8), torch.zeros(2, 3))
        >>> require_teacher(nn.MSELoss(), output) is output
        True
    """
    if teacher is None:
        raise TeacherRequiredError(
            f"{type(loss).__name__} has no term without a teacher: "
            "give `teachers`, or use a criterion that has teacher-free terms"
        )
    return teacher


def label_or_prediction(target: Tensor, teacher: Output) -> Tensor:
    """Return the labels, with the teacher's predictions in place of missing ones.

    For methods that treat the class of a sample separately.

    Shape:
        - target, output: [N] or [N, H, W]

    Example:
        >>> teacher = Output(torch.zeros(2, 8), torch.tensor([[0.0, 1.0], [2.0, 0.0]]))
        >>> label_or_prediction(torch.tensor([-100, 1]), teacher)
        tensor([1, 1])
    """
    logits = teacher.logits
    check_has_classes(logits)
    size = logits.shape[:1] + logits.shape[2:]
    check_labels("target", target, size, f"the teacher's logits {list(logits.shape)}")
    return torch.where(target == IGNORE_INDEX, teacher.logits.argmax(1), target)
