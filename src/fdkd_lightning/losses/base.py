"""Contract of all distillation losses, and the checks that they share."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from fdkd_lightning.ops.checks import refuse_renamed_methods
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
    adds the task loss. Samples with target -100 take full part in every distance and none in any
    cross-entropy.

    Raises:
        TypeError: If a subclass defines a method under a name of an earlier version.

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

    @abstractmethod
    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Compute the terms, each a weighted scalar.

        Args:
            student: The student's output, with gradients.
            teacher: The frozen teacher's output for the same samples. With None the loss returns
                the terms that need no teacher (the teacher-free control); if there are none, it
                raises :class:`TeacherRequiredError`.
            target: Class indices, -100 where there is no label.

        Shape:
            - target: [N], or [N, H, W] for maps
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


def require_same_shape(name: str, student: Tensor, teacher: Tensor, remedy: str) -> None:
    """Raise unless both tensors have the same shape.

    Args:
        name: The tensors' name in the error, a plural.
        student: The student's tensor.
        teacher: The teacher's tensor.
        remedy: The next step, which the error suggests.

    Shape:
        - student, teacher: any

    Raises:
        ValueError: If the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"the student's {name} have shape {list(student.shape)}, "
            f"the teacher's {list(teacher.shape)}: {remedy}"
        )


def require_batch(loss: nn.Module, size: int, least: int, why: str) -> None:
    """Raise if the batch has fewer samples than the loss is defined for.

    Args:
        loss: The loss, which the error names.
        size: The number of samples, N.
        least: The smallest number allowed.
        why: The reason, which the error states.

    Raises:
        ValueError: If N is smaller.
    """
    if size < least:
        raise ValueError(
            f"{type(loss).__name__} got a batch of {size}, and needs at least {least}: {why}. "
            "Let the data drop a last batch that is too small (drop_last)"
        )


def stage_map(role: str, output: Output, stage: int) -> Tensor:
    """Return the feature map of a stage.

    Args:
        role: "student" or "teacher", for the error.
        output: The network's output.
        stage: Index into ``output.maps``; negative indices count from the end.

    Shape:
        - output: [N, C, H, W], or [N, C, 1, L] for tokens

    Raises:
        ValueError: If there is no such stage, or its map does not have four dimensions.
    """
    try:
        found = output.maps[stage]
    except IndexError:
        raise ValueError(
            f"stage={stage} is not among the {len(output.maps)} maps of the {role}'s Output: "
            "choose another stage, or let the model return its stages' maps: "
            "FeatureModel(model, Layers(maps=['layer*']))"
        ) from None
    if found.ndim != 4:
        raise ValueError(
            f"map {stage} of the {role}'s Output has shape {list(found.shape)}, not [N, C, H, W]: "
            "let the model arrange tokens on the grid of the image, or as [N, C, 1, L]"
        )
    return found


def label_or_prediction(target: Tensor, teacher: Output) -> Tensor:
    """Return the labels, with the teacher's predictions in place of missing ones.

    For methods that treat the class of a sample separately.

    Args:
        target: Class indices, -100 where there is no label.
        teacher: The teacher's output for the same samples.

    Shape:
        - target, output: [N] or [N, H, W]

    Example:
        >>> teacher = Output(torch.zeros(2, 8), torch.tensor([[0.0, 1.0], [2.0, 0.0]]))
        >>> label_or_prediction(torch.tensor([-100, 1]), teacher)
        tensor([1, 1])
    """
    return torch.where(target == IGNORE_INDEX, teacher.logits.argmax(1), target)


PROJECTOR_REMEDY = (
    "set the module's `projector` to fdkd_lightning.Projector(), which brings the student's "
    "features to the teacher's width, grid and rank"
)
CLASSES_REMEDY = "teacher and student must be trained on the same classes"
