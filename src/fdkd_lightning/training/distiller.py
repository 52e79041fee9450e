"""What stands between teachers and a student while they train, whoever trains them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.training.pairs import Pair
from fdkd_lightning.training.probe import output_from_shapes, output_shapes
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.training.teacher_weights import TeacherWeights
from fdkd_lightning.types import Output


class Distiller(nn.Module):
    r"""A criterion, what fits the student's features to it, and the average over the teachers.

    .. math::
        L = \sum_m w_m L_m(\mathrm{projector}(X^s), X^t_m), \quad w_m = \frac{1}{M}

    All that is trained beside the student is in here; nothing of it is needed afterwards.

    Args:
        criterion: What the student learns from a teacher.
        teachers: Their modalities.
        projector: Maps the student's features to each teacher's; None: as they are.
        weights: How the teachers are averaged; None: all alike, as above. Without teachers it has
            no part.

    Raises:
        ValueError: If several teachers meet a criterion for one, or the weights are for others.

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
    ) -> None:
        super().__init__()
        if len(teachers) > 1 and criterion.single_teacher_only():
            raise ValueError(
                f"teachers has {len(teachers)} entries, and {type(criterion).__name__} keeps "
                "parts that belong to one: give one teacher, or a criterion such as FDKDLoss"
            )
        self.criterion = criterion
        self.projector = projector
        self.modalities = tuple(teachers)
        self.weights = weights if teachers else None
        if self.weights is not None:
            self.weights.build(teachers)
        self.shapes: dict[str, Any] | None = None

    def build(self, student: Output, teachers: Mapping[str, Output]) -> None:
        """Size all parts by the outputs of one batch; only their shapes count.

        Args:
            student: The student's.
            teachers: Modality -> that teacher's; empty: the teacher-free control.
        """
        self.shapes = {
            "student": output_shapes(student),
            "teachers": {modality: output_shapes(output) for modality, output in teachers.items()},
        }
        for teacher in teachers.values() or (None,):
            if self.projector is not None:
                self.projector.build(student.features, teacher and teacher.features)
            with torch.no_grad():
                self.criterion.build(*self._projected(student, teacher))

    def build_as(self, shapes: dict[str, Any]) -> None:
        """Size all parts as they were in the run that had these ``shapes``."""
        teachers = {modality: output_from_shapes(x) for modality, x in shapes["teachers"].items()}
        self.build(output_from_shapes(shapes["student"]), teachers)

    def forward(self, pairs: Sequence[Pair | None]) -> dict[str, Tensor]:
        """The criterion's terms, averaged over the teachers.

        Args:
            pairs: One per teacher, or one without a teacher for the teacher-free terms. None is a
                teacher that has nothing to teach: zero in the average, so that what the others
                teach does not depend on it.
        """
        if self.weights is None:
            return self._averaged(pairs, None)
        by_name = dict(zip(self.modalities, pairs, strict=True))
        weights = self.weights(by_name)
        terms = self._averaged(pairs, [weights[modality] for modality in self.modalities])
        return self._joined(terms, self.weights.terms(by_name))

    def start(self, epoch: int, max_epochs: int | None) -> None:
        """Tell the criterion where training starts, and warn if it ends before all of it is there.

        A resumed run may start within an epoch.
        """
        self.criterion.set_epoch(epoch)
        whole = self.criterion.warmup_epochs()
        if max_epochs is not None and 0 <= max_epochs <= whole:
            rank_zero_warn(
                f"{type(self.criterion).__name__} is not whole before epoch {whole + 1}, and "
                f"training ends after trainer.max_epochs={max_epochs}: shorten its warm-up or "
                "first stage, or train longer"
            )

    def heads(self, student: Output) -> dict[str, Tensor]:
        """Logits of the classifiers that the criterion trains beside the student's own."""
        return self.criterion.heads(self._projected(student, None)[0])

    def logged_values(self) -> dict[str, Tensor]:
        """What is learned here and has to be shown, by name."""
        record = self.criterion.logged_values()
        return (
            record if self.weights is None else self._joined(record, self.weights.logged_values())
        )

    def _averaged(
        self, pairs: Sequence[Pair | None], weights: Sequence[float | Tensor] | None
    ) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for m, pair in enumerate(pairs):
            if pair is None:
                continue
            outputs = self._projected(pair.student, pair.teacher)
            for name, term in self.criterion(*outputs, pair.target).items():
                share = term / len(pairs) if weights is None else weights[m] * term
                terms[name] = terms[name] + share if name in terms else share
        return terms

    def _joined(self, own: dict[str, Tensor], of_weights: dict[str, Tensor]) -> dict[str, Tensor]:
        if taken := own.keys() & of_weights.keys():
            raise ValueError(
                f"{type(self.weights).__name__} and {type(self.criterion).__name__} both name "
                f"{', '.join(sorted(taken))}: give one of them another name"
            )
        return own | of_weights

    def _projected(self, student: Output, teacher: Output | None) -> tuple[Output, Output | None]:
        if self.projector is None:
            return student, teacher
        own, its = self.projector(student.features, teacher and teacher.features)
        if teacher is not None:
            teacher = teacher._replace(features=its)
        return student._replace(features=own), teacher
