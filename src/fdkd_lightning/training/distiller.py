"""Criterion, projector and teacher weighting: everything that is trained beside the student."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.training.pairs import Pair
from fdkd_lightning.training.probe import output_from_shapes, output_shapes
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.training.teacher_weights import TeacherWeights
from fdkd_lightning.types import Output


class Distiller(nn.Module):
    r"""Criterion, projector and teacher weighting: everything that is trained beside the student.

    .. math::
        L = \sum_m w_m L_m(\mathrm{projector}(X^s), X^t_m), \quad w_m = \frac{1}{M}

    None of it is needed after training.

    Args:
        criterion: Loss between the outputs of the student and of one teacher.
        teachers: The teachers' modalities.
        projector: Maps the student's features to each teacher's; None leaves them unchanged.
        weights: Weights of the average over the teachers; None: equal weights. Without a teacher
            they are dropped.
        task: What the labels mean; None: one class per sample.

    Raises:
        TypeError: If the criterion is no ``DistillationLoss``.
        ValueError: If there are several teachers and the criterion allows one, the weights are for
            other teachers, or criterion or weights are for another task.

    Example:
        >>> from fdkd_lightning import FeatureLoss
        >>> ones, zeros = (Output(torch.full((2, 8), x), torch.zeros(2, 3)) for x in (1.0, 0.0))
        >>> pair = Pair(ones, zeros, torch.tensor([0, 1]))
        >>> Distiller(FeatureLoss(), ["audio"])([pair])
        {'feature': tensor(1.)}
        >>> Distiller(FeatureLoss(), ["audio", "text"])([pair, None])
        {'feature': tensor(0.5000)}
    """

    def __init__(
        self,
        criterion: DistillationLoss,
        teachers: Collection[str],
        projector: Projector | None = None,
        weights: TeacherWeights | None = None,
        task: Task | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(criterion, DistillationLoss):
            raise TypeError(
                f"criterion is of type {type(criterion).__name__}: give a DistillationLoss, such "
                "as FDKDLoss(), or a subclass of your own"
            )
        if len(teachers) > 1 and criterion.single_teacher_only():
            raise ValueError(
                f"teachers has {len(teachers)} entries, but {type(criterion).__name__} keeps parts "
                "that belong to one: give one teacher, or a criterion such as FDKDLoss"
            )
        task = OneClassTask() if task is None else task
        criterion.set_task(task)
        self.criterion = criterion
        self.projector = projector
        self.modalities = tuple(teachers)
        self.weights = weights if teachers else None
        if self.weights is not None:
            self.weights.set_task(task)
            self.weights.build(teachers)
        self.shapes: dict[str, Any] | None = None

    def build(self, student: Output, teachers: Mapping[str, Output]) -> None:
        """Size all parts by the shapes of one batch's outputs."""
        self.shapes = {
            "student": output_shapes(student),
            "teachers": {modality: output_shapes(output) for modality, output in teachers.items()},
        }
        for teacher in teachers.values() or (None,):
            if self.projector is not None:
                self.projector.build(student.features, teacher and teacher.features)
            with torch.no_grad():
                self.criterion.build(*self._project(student, teacher))

    def build_from_shapes(self, shapes: dict[str, Any]) -> None:
        """Size all parts by the ``shapes`` of an earlier run."""
        teachers = {modality: output_from_shapes(x) for modality, x in shapes["teachers"].items()}
        self.build(output_from_shapes(shapes["student"]), teachers)

    def is_sized(self) -> bool:
        """Return whether every part has its size, from its arguments or from :meth:`build`."""
        # A projector has no layer before it is built.
        if self.projector is not None and not self.projector.linear:
            return False
        layers = [part for part in self.modules() if isinstance(part, ProbedLinear)]
        return all(layer.weight is not None for layer in layers)

    def forward(self, pairs: Sequence[Pair | None]) -> dict[str, Tensor]:
        """Return the criterion's terms, averaged over the teachers.

        Args:
            pairs: One per teacher, or a single one without a teacher for the teacher-free terms.
                None counts as zero in the average, so that the contributions of the other teachers
                do not change.
        """
        if self.weights is None:
            return self._average(pairs, None)
        by_name = dict(zip(self.modalities, pairs, strict=True))
        weights = self.weights(by_name)
        terms = self._average(pairs, [weights[modality] for modality in self.modalities])
        return self._merge(terms, self.weights.terms(by_name))

    def start(self, epoch: int, max_epochs: int | None) -> None:
        """Set the criterion's epoch, and warn if its warm-up does not end before training does."""
        self.criterion.set_epoch(epoch)
        warmup = self.criterion.warmup_epochs()
        if max_epochs is not None and 0 <= max_epochs <= warmup:
            rank_zero_warn(
                f"{type(self.criterion).__name__} reaches its full weight in epoch {warmup + 1}, "
                f"but training ends after trainer.max_epochs={max_epochs}: shorten its warm-up or "
                "first stage, or train longer"
            )

    def heads(self, student: Output) -> dict[str, Tensor]:
        """Return the logits of the classifiers that the criterion trains, by name."""
        return self.criterion.heads(self._project(student, None)[0])

    def logged_values(self) -> dict[str, Tensor]:
        """Return the values to log beside the terms, such as a learned threshold, by name."""
        values = self.criterion.logged_values()
        return values if self.weights is None else self._merge(values, self.weights.logged_values())

    def _average(
        self, pairs: Sequence[Pair | None], weights: Sequence[float | Tensor] | None
    ) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for m, pair in enumerate(pairs):
            if pair is None:
                continue
            outputs = self._project(pair.student, pair.teacher)
            for name, term in self.criterion(*outputs, pair.target).items():
                share = term / len(pairs) if weights is None else weights[m] * term
                terms[name] = terms[name] + share if name in terms else share
        return terms

    def _merge(
        self, of_criterion: dict[str, Tensor], of_weights: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        if taken := of_criterion.keys() & of_weights.keys():
            raise ValueError(
                f"{type(self.weights).__name__} and {type(self.criterion).__name__} both name "
                f"{', '.join(sorted(taken))}: give one of them another name"
            )
        return of_criterion | of_weights

    def _project(self, student: Output, teacher: Output | None) -> tuple[Output, Output | None]:
        if self.projector is None:
            return student, teacher
        student_features, teacher_features = self.projector(
            student.features, teacher and teacher.features
        )
        if teacher is not None:
            teacher = teacher._replace(features=teacher_features)
        return student._replace(features=student_features), teacher
