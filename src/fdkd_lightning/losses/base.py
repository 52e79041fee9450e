"""The one contract of all distillation losses, and the checks they share."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from fdkd_lightning.types import IGNORE_INDEX, Output


class DistillationLoss(nn.Module, ABC):
    """What a student learns from a teacher, as named terms.

    A loss sees two :class:`~fdkd_lightning.types.Output` and the target, never the batch, a path
    or the trainer. Its terms come weighted; whoever calls it adds them up, logs each under its
    name, and adds the task loss. Samples with target -100 take full part in every distance and
    none in any cross-entropy.

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

    def single_teacher_only(self) -> bool:
        """Whether parts of the loss belong to one teacher, so that several cannot share it."""
        return False

    def warmup_epochs(self) -> int:
        """The first epoch, counted from 0, in which all of the loss is there."""
        return 0

    @abstractmethod
    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The terms, each a weighted scalar.

        Args:
            student: The student's output, with gradients.
            teacher: The frozen teacher's output for the same samples; None gives the terms that
                need no teacher (the teacher-free control), or an error if there are none.
            target: [N], or [N, H, W] for maps; -100 where there is no label.
        """

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the parts whose sizes the arguments left out, from the outputs of one batch.

        Called before optimizers exist, and when a checkpoint is loaded for evaluation: then the
        outputs have the shapes of training, and no values. Parts that are there already stay. A
        loss without such parts need not override it.
        """

    def heads(self, student: Output) -> dict[str, Tensor]:
        """Logits of the classifiers that the loss trains beside the student's own, by name.

        They are recorded, never reported: which head counts is settled before training.
        """
        return {}

    def logged_values(self) -> dict[str, Tensor]:
        """What the loss learns and has to show, by name, such as a cut-off: logged each epoch."""
        return {}

    def set_epoch(self, epoch: int) -> None:
        """Tell the epoch, for losses with a warm-up: the one training state that a loss sees."""


class TeacherRequiredError(ValueError):
    """A loss was asked for the terms that need no teacher, and has none."""


def require_teacher(loss: nn.Module, teacher: Output | None) -> Output:
    """The teacher's output, or an error that says that this loss cannot do without.

    Args:
        loss: The loss that asks.
        teacher: What it was given.

    Raises:
        TeacherRequiredError: If it was given None; a :class:`CompositeLoss` then goes without
            this loss.

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
    """Raise unless the two tensors have one shape, naming both and the remedy."""
    if student.shape != teacher.shape:
        raise ValueError(
            f"the student's {name} have shape {list(student.shape)}, "
            f"the teacher's {list(teacher.shape)}: {remedy}"
        )


def require_batch(loss: nn.Module, size: int, least: int, why: str) -> None:
    """Raise if the batch has fewer samples than the method is defined for."""
    if size < least:
        raise ValueError(
            f"{type(loss).__name__} got a batch of {size}, and needs at least {least}: {why}. "
            "Let the data drop a last batch that is too small (drop_last)"
        )


def stage_map(role: str, output: Output, stage: int) -> Tensor:
    """A stage's map, or an error if it is not there or is no [N, C, H, W]."""
    try:
        found = output.maps[stage]
    except IndexError:
        raise ValueError(
            f"stage={stage} is not among the {len(output.maps)} maps of the {role}'s Output: "
            "choose another stage, or let the model return its stages' maps"
        ) from None
    if found.ndim != 4:
        raise ValueError(
            f"map {stage} of the {role}'s Output has shape {list(found.shape)}, not [N, C, H, W]: "
            "let the model bring tokens into the order of the picture"
        )
    return found


def label_or_prediction(target: Tensor, teacher: Output) -> Tensor:
    """The labels; the teacher's prediction where there is none.

    Methods that treat the class of a sample apart take it for that where it has no label.

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
