"""One training step of distillation: teachers' outputs, the criterion's terms and their sum."""

import functools
import operator
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from fdkd_lightning.training.cache.cached_teacher import teacher_input, with_presence
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.missing_modality import zero_gradient_term
from fdkd_lightning.training.monitor.finite_watch import FiniteWatch
from fdkd_lightning.training.pairs import make_pairs
from fdkd_lightning.training.probe import check_output, probe
from fdkd_lightning.training.taught_check import TaughtCheck
from fdkd_lightning.training.teachers import FrozenTeachers, TrainedTeachers
from fdkd_lightning.types import Batch, Output

Observer = Callable[[Mapping[str, Tensor], bool], None]
"""Gets the terms of a step, the task loss as ``task``, and whether the step is complete."""


class StepResult(NamedTuple):
    """Result of one training step.

    Args:
        loss: The sum to differentiate.
        logged: The criterion's terms and logged values, by name.
        is_complete: Whether the student, every teacher and the criterion ran on this rank.
    """

    loss: Tensor
    logged: dict[str, Tensor]
    is_complete: bool


class DistillationStep:
    r"""Add the criterion's terms for one batch to the task loss.

    .. math::
        L = L_\mathrm{task} + \sum_i L_i

    Both :class:`~fdkd_lightning.DistillationModule` and
    :class:`~fdkd_lightning.DistillationCallback` train with this step; they find its inputs and log
    its result. The terms are added one after the other, so that the sum of both is bitwise the
    same.

    Args:
        teachers: The teachers.
        distiller: The criterion, and what is trained beside the student.
        watch: Notes which part of a step is not finite; None: its own.
        reserved_names: Names that no term and no logged value of the criterion may have.

    Attributes:
        observe: Called in each step, before the gradient is computed; None: nothing.
    """

    def __init__(
        self,
        teachers: FrozenTeachers | TrainedTeachers,
        distiller: Distiller,
        watch: FiniteWatch | None = None,
        reserved_names: Collection[str] = ("task",),
    ) -> None:
        self.teachers = teachers
        self.distiller = distiller
        self.watch = FiniteWatch() if watch is None else watch
        self.taught = TaughtCheck()
        self.reserved_names = frozenset(reserved_names)
        self.observe: Observer | None = None
        self._checked: set[str] = set()

    def restart(self) -> None:
        """Check each teacher's next output again: a new run begins."""
        self._checked.clear()
        self.taught.start_epoch()

    def set_epoch(self, epoch: int) -> None:
        """Set the criterion's epoch, and the view that cached teachers show."""
        self.distiller.criterion.set_epoch(epoch)
        if isinstance(self.teachers, FrozenTeachers):
            self.teachers.set_epoch(epoch)

    def build(self, student: Output, batch: Batch) -> None:
        """Size the distiller's parts."""
        outputs = {
            modality: probe(teacher, teacher_input(teacher, batch, modality))
            for modality, teacher in self.teachers.items()
        }
        self.distiller.build(student, outputs)

    def __call__(
        self,
        module: nn.Module,
        loss: Tensor | None,
        student: Output | None,
        batch: Batch,
        size: int,
    ) -> StepResult:
        """Compute the terms and add them to the task loss.

        Args:
            module: The module that is trained; DDP waits for the gradient of each parameter.
            loss: The task loss, computed already; None: there is none.
            student: The student's output for the batch; None: too few samples are left to learn
                from.
            batch: The samples that have the student's modality: the teachers' inputs, ``label``,
                and ``present`` where samples may lack a modality.
            size: Number of samples with those that lack the student's modality.

        Raises:
            KeyError: If the batch lacks the input of a teacher.
            ValueError: If a name is used twice, or the first output of a teacher is not finite.
        """
        batch = with_presence(self.teachers, batch)
        outputs = {} if student is None else self.teachers(batch)
        self._check_first(outputs)
        teachers = {modality: outputs.get(modality) for modality in self.teachers}
        pairs = make_pairs(student, teachers, batch, size)
        terms: dict[str, Tensor] = self.distiller(pairs)
        self._note(outputs, terms, student)
        logged_values = self.distiller.logged_values()
        self._check_names(terms, logged_values)
        is_complete = not any(x is None for x in (student, *teachers.values(), *pairs))
        named = terms if loss is None else {"task": loss, **terms}
        if self.observe is not None:
            self.observe(named, is_complete)
        summands = [*named.values()]
        if not is_complete:
            # A network or the criterion was skipped here, and may have run on other ranks.
            summands.append(zero_gradient_term(module))
        elif self.distiller.projector is not None:
            # A criterion of logits alone does not use it, and DDP waits for its gradient.
            summands.append(zero_gradient_term(self.distiller.projector))
        total = functools.reduce(operator.add, summands)
        return StepResult(total, terms | logged_values, is_complete)

    def _note(
        self, outputs: dict[str, Output], terms: dict[str, Tensor], student: Output | None
    ) -> None:
        for modality, output in outputs.items():
            self.watch.note_output(f"{modality} teacher", output)
        for name, term in terms.items():
            self.watch.note(f"the criterion's term {name!r}", term)
        self.watch.end_step()
        self.taught.note(terms.values(), student)

    def _check_first(self, outputs: dict[str, Output]) -> None:
        # Once a run: reading values costs a synchronisation. A teacher's first output need not be
        # in the first batch.
        for modality, output in outputs.items():
            if modality not in self._checked:
                self._checked.add(modality)
                check_output(f"{modality} teacher", output)

    def _check_names(self, terms: dict[str, Tensor], logged_values: dict[str, Tensor]) -> None:
        names = terms.keys() | logged_values.keys()
        taken = self.reserved_names & names | terms.keys() & logged_values.keys()
        if taken:
            raise ValueError(
                f"{type(self.distiller.criterion).__name__} uses the name "
                f"{', '.join(sorted(taken))}, which is reserved or belongs to both a term and a "
                "logged value: give it another name"
            )
