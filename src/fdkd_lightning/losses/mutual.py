"""Mutual learning: two networks train together, each learning from the other."""

import torch
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.losses.wrapper import WrapperLoss, with_prefixes
from fdkd_lightning.ops.checks import check_optional_weights
from fdkd_lightning.types import Output


class MutualLoss(WrapperLoss):
    r"""Deep mutual learning with any criterion: the teacher also learns from the student.

    With :math:`L(a, \bar b)` for "a learns from b, which gets no gradient", the terms are

    .. math::
        \text{student} &= L(X^s, \bar X^t) \\
        \text{teacher} &= L'(X^t, \bar X^s) + w \, \mathrm{CE}(z^t, y)

    named, for example, ``student/kd``, ``teacher/kd`` and ``teacher/task``; the student's own CE is
    the module's task loss. It needs the module's ``train_teachers: true``.

    In the paper L is KL at temperature 1 with weight 1, which is ``KDLoss(temperature=1)``, and the
    networks take turns: after each step of one, the other is given new predictions. Here both
    take their steps at once.

    L' is L unless ``teacher_criterion`` is given. The classifiers of L are then the same in both
    directions and get the gradients of both.

    CE is the cross-entropy, or the loss of another task. The teacher's covers the samples that both
    networks have, since the criterion gets no others. Of M teachers each learns from the student,
    and its terms have the factor 1/M as all terms do.

    Without a teacher, the teacher-free terms of L remain.

    Args:
        criterion: L.
        task_weight: w; None leaves the teacher's CE out.
        teacher_criterion: L', for criteria with parts for one direction, such as ``HintLoss``, or
            ``LayerwiseLoss`` where widths differ; None: L.

    Shape:
        - features, logits, maps, target: as the criterion requires

    Raises:
        ValueError: If ``task_weight`` is negative or not finite; if ``teacher_criterion`` is
            missing and the criterion has parts for one direction or does not fit both; in training,
            if the teacher is frozen.

    Reference:
        Y. Zhang, T. Xiang, T. M. Hospedales, H. Lu, "Deep Mutual Learning", CVPR 2018
        (arXiv 1706.00384), Eqs. 4 to 6.

    Example:
        >>> from fdkd_lightning.losses.kd import KDLoss
        >>> output = Output(torch.ones(2, 8), torch.zeros(2, 3, requires_grad=True))
        >>> list(MutualLoss(KDLoss(temperature=1))(output, output, torch.tensor([0, -100])))
        ['student/kd', 'teacher/kd', 'teacher/task']
    """

    def __init__(
        self,
        criterion: DistillationLoss,
        task_weight: float | None = 1.0,
        teacher_criterion: DistillationLoss | None = None,
    ) -> None:
        super().__init__()
        check_optional_weights(task_weight=task_weight)
        if teacher_criterion is None and criterion.single_teacher_only():
            raise ValueError(
                f"{type(criterion).__name__} has parts for one direction: give a second one as "
                "teacher_criterion"
            )
        self.criterion = criterion
        self.task_weight = task_weight
        self.teacher_criterion = teacher_criterion
        self.task: Task = OneClassTask()

    def set_task(self, task: Task) -> None:
        """Set the loss of the teacher's labels, and the task of the criteria."""
        super().set_task(task)
        self.task = task

    def wrapped(self) -> dict[str, DistillationLoss]:
        """Return the criterion without a prefix, and the teacher's, if it has another."""
        if self.teacher_criterion is None:
            return {"": self.criterion}
        return {"": self.criterion, "teacher/": self.teacher_criterion}

    def build(self, student: Output, teacher: Output | None) -> None:
        """Build each criterion for its direction; a single one for both directions."""
        self.criterion.build(student, teacher)
        if teacher is None:
            return
        try:
            self._criterion_of_teacher().build(teacher, student)
        except ValueError as error:
            if self.teacher_criterion is not None:
                raise
            raise ValueError(
                f"{type(self.criterion).__name__} does not fit the other direction, too ({error}): "
                "give a second one as teacher_criterion"
            ) from error

    def heads(self, student: Output) -> dict[str, Tensor]:
        """Compute the logits of the criterion's heads; the teacher's have no input here."""
        return self.criterion.heads(student)

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Compute the terms of both directions."""
        if teacher is None:
            return with_prefixes({"student/": self.criterion(student, None, target)})
        if self.training and torch.is_grad_enabled() and not teacher.logits.requires_grad:
            raise ValueError(
                "MutualLoss trains the teacher, whose logits have no gradient: set the "
                "DistillationModule's `train_teachers: true`"
            )
        student_terms = self.criterion(student, _detached(teacher), target)
        # In the other direction it is the student whose samples may have other labels.
        teacher_target, student_label = target, None
        if teacher.label is not None:
            teacher_target, student_label = teacher.label, target
        teacher_terms = self._criterion_of_teacher()(
            teacher._replace(label=None),
            _detached(student)._replace(label=student_label),
            teacher_target,
        )
        if self.task_weight is not None:
            task = self.task_weight * self.task(teacher.logits, teacher_target)
            teacher_terms = teacher_terms | {"task": task}
        return with_prefixes({"student/": student_terms, "teacher/": teacher_terms})

    def _criterion_of_teacher(self) -> DistillationLoss:
        return self.criterion if self.teacher_criterion is None else self.teacher_criterion


def _detached(output: Output) -> Output:
    """Cut the gradients of an output that the other network learns from."""
    maps = tuple(stage.detach() for stage in output.maps)
    return output._replace(
        features=output.features.detach(), logits=output.logits.detach(), maps=maps
    )
