"""Both directions at once: two networks that are trained, each learning from the other."""

import torch
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.ops.cross_entropy import cross_entropy
from fdkd_lightning.types import Output


class MutualLoss(DistillationLoss):
    r"""Deep mutual learning by any criterion: the teacher learns from the student, too.

    With :math:`L(a, \bar b)` for "a learns from b, which gets no gradient", the terms are

    .. math::
        \text{student} &= L(X^s, \bar X^t) \\
        \text{teacher} &= L'(X^t, \bar X^s) + w \, \mathrm{CE}(z^t, y)

    named ``student/kd``, ``teacher/kd`` and ``teacher/task``; the student's own CE is the module's
    task loss. It needs the module's ``train_teachers: true``. In the paper L is KL at temperature 1
    and weight 1, which is ``KDLoss(temperature=1)``, and the networks take turns, each step of one
    being followed by new predictions for the other; here both make their step at once.

    L' is L itself unless ``teacher_criterion`` is given: classifiers that L shares between the two
    are then the same in both directions, and get the gradient of both.

    The teacher's CE is over the samples that both networks have, as the criterion sees no others.
    Several teachers each learn from the student, by 1/M as every term.

    Without a teacher L's teacher-free terms are left.

    Args:
        criterion: L.
        task_weight: w; None leaves the teacher's CE out.
        teacher_criterion: L', which a criterion with parts for one direction needs, such as
            ``HintLoss``, or ``LayerwiseLoss`` where widths differ; None: L.

    Shape:
        - features, logits, maps, target: as the criterion's

    Raises:
        ValueError: If one criterion is to serve both directions and has parts for one or does not
            fit both, or in training if the teacher is frozen.

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
        if teacher_criterion is None and criterion.single_teacher_only():
            raise ValueError(
                f"{type(criterion).__name__} keeps parts for one direction: give the other a "
                "criterion of its own, as teacher_criterion"
            )
        self.criterion = criterion
        self.task_weight = task_weight
        self.teacher_criterion = teacher_criterion

    def single_teacher_only(self) -> bool:
        """Whether one of the criteria does."""
        return any(criterion.single_teacher_only() for criterion in self._criteria())

    def warmup_epochs(self) -> int:
        """The first epoch in which both criteria are whole."""
        return max(criterion.warmup_epochs() for criterion in self._criteria())

    def build(self, student: Output, teacher: Output | None) -> None:
        """Size the criteria, each in its direction; one that serves both, in both."""
        self.criterion.build(student, teacher)
        if teacher is None:
            return
        try:
            self._back().build(teacher, student)
        except ValueError as error:
            if self.teacher_criterion is not None:
                raise
            raise ValueError(
                f"{type(self.criterion).__name__} does not fit the other direction, too ({error}): "
                "give that a criterion of its own, as teacher_criterion"
            ) from error

    def heads(self, student: Output) -> dict[str, Tensor]:
        """The criterion's."""
        return self.criterion.heads(student)

    def logged_values(self) -> dict[str, Tensor]:
        """The criterion's, and the teacher's own as ``teacher/...``."""
        record = self.criterion.logged_values()
        if self.teacher_criterion is None:
            return record
        return record | _named("teacher", self.teacher_criterion.logged_values())

    def set_epoch(self, epoch: int) -> None:
        """Tell the criteria."""
        for criterion in self._criteria():
            criterion.set_epoch(epoch)

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The terms of both directions."""
        if teacher is None:
            return _named("student", self.criterion(student, None, target))
        if self.training and torch.is_grad_enabled() and not teacher.logits.requires_grad:
            raise ValueError(
                "MutualLoss trains the teacher, whose logits have no gradient: set the "
                "DistillationModule's `train_teachers: true`"
            )
        terms = _named("student", self.criterion(student, _fixed(teacher), target))
        # In the other direction it is the student whose samples may have other labels.
        label, others = target, None
        if teacher.label is not None:
            label, others = teacher.label, target
        fixed = _fixed(student)._replace(label=others)
        terms |= _named("teacher", self._back()(teacher._replace(label=None), fixed, label))
        if self.task_weight is not None:
            terms["teacher/task"] = self.task_weight * cross_entropy(teacher.logits, label)
        return terms

    def _back(self) -> DistillationLoss:
        return self.criterion if self.teacher_criterion is None else self.teacher_criterion

    def _criteria(self) -> list[DistillationLoss]:
        return [c for c in (self.criterion, self.teacher_criterion) if c is not None]


def _fixed(output: Output) -> Output:
    """The output as it is, for another to learn from."""
    maps = tuple(stage.detach() for stage in output.maps)
    return output._replace(
        features=output.features.detach(), logits=output.logits.detach(), maps=maps
    )


def _named(role: str, terms: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{role}/{name}": term for name, term in terms.items()}
