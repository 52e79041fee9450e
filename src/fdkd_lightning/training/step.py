"""What teachers teach a student with a batch of any form."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.training.callback.batch_keys import BatchKey, entry
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.pairs import make_pairs
from fdkd_lightning.training.probe import check_output, check_target, probe
from fdkd_lightning.training.teachers import FrozenTeachers
from fdkd_lightning.types import IGNORE_INDEX, Batch, Output


class DistillationStep:
    """Teachers, a distiller, and where a batch has what they need.

    Args:
        teachers: The teachers.
        distiller: What is trained between them and the student.
        inputs: Modality -> where the batch has that teacher's input; a modality that is not named
            is the key itself.
        target: Where it has the labels; None: nowhere.
        index: Where it has the samples' ids; None: nowhere.

    Raises:
        ValueError: If ``inputs`` names a modality without a teacher.

    Example:
        >>> from fdkd_lightning import FeatureLoss, ResNet
        >>> teacher = ResNet(3, in_chans=1, channels=(8, 8, 8, 8))
        >>> distiller = Distiller(FeatureLoss(), ["audio"])
        >>> teachers = FrozenTeachers({"audio": teacher})
        >>> teaching = DistillationStep(teachers, distiller, {"audio": 1}, None)
        >>> batch = [None, torch.zeros(2, 1, 32, 32)]
        >>> list(teaching.terms(Output(torch.zeros(2, 8), torch.zeros(2, 3)), batch))
        ['feature']
    """

    def __init__(
        self,
        teachers: FrozenTeachers,
        distiller: Distiller,
        inputs: Mapping[str, BatchKey],
        target: BatchKey | None,
        index: BatchKey | None = None,
    ) -> None:
        unknown = sorted(inputs.keys() - teachers.keys())
        if unknown:
            raise ValueError(
                f"teacher_inputs names {unknown[0]!r}, which is none of the teachers' "
                f"{', '.join(teachers) or 'names, of which there are none'}"
            )
        self.teachers = teachers
        self.distiller = distiller
        self.inputs = {name: name for name in teachers} | dict(inputs)
        self.target = target
        self.index = index
        self.is_checked = False

    def build(self, student: Output, batch: Any) -> None:
        """Size the distiller's parts by the student's output and the teachers' for a batch."""
        outputs = {
            modality: probe(teacher, self._input(batch, modality))
            for modality, teacher in self.teachers.items()
        }
        self.distiller.build(student, outputs)

    def check_sizes(self) -> None:
        """Raise if a part that was not built has no size."""
        layers = [part for part in self.distiller.modules() if isinstance(part, ProbedLinear)]
        # A projector has none at all before it is built.
        projector = self.distiller.projector
        if any(x.weight is None for x in layers) or (projector and not projector.linear):
            raise ValueError(
                f"parts of {type(self.distiller.criterion).__name__} or a projector have no size "
                "yet: say where the batch has what the host's forward takes, such as "
                "student_input='image' (or 0), or give sizes, such as SharedAlignmentHead(512, 10)"
            )

    def terms(self, student: Output, batch: Any) -> dict[str, Tensor]:
        """The criterion's terms.

        Raises:
            KeyError: If the batch lacks an entry.
            ValueError: If the student's samples are not the batch's, or in the first batch a label
                is no class or an output not finite.
        """
        seen, size = self.read(batch), len(student.features)
        if self.target is None:
            seen["label"] = student.features.new_full((size,), IGNORE_INDEX, dtype=torch.int64)
        elif len(seen["label"]) != size:
            raise ValueError(
                f"the student last ran on {size} samples, and target={self.target!r} has "
                f"{len(seen['label'])}: the step must run it on the whole batch, in its order, and "
                "on nothing else with a gradient after that"
            )
        outputs = self.teachers(seen)
        if not self.is_checked:
            self._check(seen, student, outputs)
        student = student._replace(index=seen.get("index"))
        terms: dict[str, Tensor] = self.distiller(make_pairs(student, outputs, seen, size))
        return terms

    def read(self, batch: Any) -> Batch:
        """The batch as teachers and criterion know it; without labels where it has none."""
        found: Batch = {name: self._input(batch, name) for name in self.teachers}
        if self.index is not None:
            found["index"] = entry(batch, self.index, "index")
        if self.target is not None:
            try:
                found["label"] = entry(batch, self.target, "target")
            except KeyError as error:
                message = f"{error.args[0]}; or set target=None, if it has no labels"
                raise KeyError(message) from None
        return found

    def _input(self, batch: Any, modality: str) -> Any:
        return entry(batch, self.inputs[modality], f"teacher_inputs[{modality!r}]")

    def _check(self, batch: Batch, student: Output, teachers: Mapping[str, Output]) -> None:
        """Look at values once a run: in the hot path it would cost a sync per step."""
        self.is_checked = True
        check_output("student", student)
        for modality, output in teachers.items():
            check_output(f"{modality} teacher", output)
        if self.target is None:
            return
        try:
            check_target(batch["label"], student.logits)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"target={self.target!r}: {error}; or set target=None, which goes without labels"
            ) from error
