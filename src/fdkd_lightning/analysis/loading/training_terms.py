"""Gradients of the terms of a configuration's loss, over batches of training."""

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch.utilities.seed import isolate_rng

from fdkd_lightning.analysis.figure_rows import GradientRow
from fdkd_lightning.analysis.gradients import term_gradients
from fdkd_lightning.analysis.loading.students import Student
from fdkd_lightning.files.checkpoint_file import load_checkpoint
from fdkd_lightning.models.pretrained import below
from fdkd_lightning.ops.precision import cast_to_model_dtype
from fdkd_lightning.training.cache.cached_teacher import teacher_input
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.distillation_step import DistillationStep
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.missing_modality import MIN_SAMPLES, samples_with
from fdkd_lightning.training.probe import (
    as_output,
    batch_target,
    modality_input,
    output_shapes,
    probe,
)
from fdkd_lightning.training.run_network import run_network

TASK = "task"


def training_gradients(
    module: DistillationModule, students: Sequence[Student], batches: Iterable[Any]
) -> list[GradientRow]:
    """Compute the gradients of all terms for each student, in train mode; nothing is updated.

    Args:
        module: The configuration's module, whose criterion, teachers and weights of terms count.
        students: The students; their networks are copied.
        batches: Transformed batches of training.

    Raises:
        ValueError: If the module has no task loss, or no batch has enough samples.
    """
    if module.task_weight is None:
        raise ValueError("task_weight=None leaves no task loss to compare gradients with")
    for student in students:
        # Weights of classes, say.
        module.task.to(next(student.network.parameters()).device)
    ready: list[_Ready] = []
    found: list[GradientRow] = []
    for number, batch in enumerate(batches):
        samples = samples_with(batch, module.modality)
        if len(batch_target(samples)) < MIN_SAMPLES:
            continue
        # The parts of a criterion are sized by the first batch.
        ready = ready or [_prepare(module, student, samples) for student in students]
        for each in ready:
            # The same draws of dropout for every student.
            with isolate_rng():
                torch.manual_seed(number)
                found += _gradients(module, each, samples, number, len(batch_target(batch)))
    if not found:
        raise ValueError("no training batch has two samples of the student's modality")
    return found


class _Ready(NamedTuple):
    student: Student
    distiller: Distiller
    criterion: str
    step: DistillationStep


def _prepare(module: DistillationModule, student: Student, samples: Any) -> _Ready:
    """Copy a student and the criterion, with its weights where the checkpoint holds them."""
    student = student._replace(network=copy.deepcopy(student.network))
    distiller = copy.deepcopy(module.distiller)
    step = DistillationStep(module.teachers, distiller)
    # By shapes, on the CPU, as before fit: the parts follow the student's device below.
    distiller.build_from_shapes(
        {
            "student": output_shapes(
                probe(student.network, modality_input(samples, module.modality))
            ),
            "teachers": {
                name: output_shapes(probe(teacher, teacher_input(teacher, samples, name)))
                for name, teacher in module.teachers.items()
            },
        }
    )
    epoch, is_trained = 0, not distiller.state_dict()
    if student.checkpoint is not None:
        content = load_checkpoint(Path(student.checkpoint), f"checkpoint={student.checkpoint!r}")
        epoch = int(content.get("epoch") or 0)
        weights = below("distiller", content.get("state_dict", content))
        expected = distiller.state_dict()
        fits = {name: value.shape for name, value in weights.items()} == {
            name: value.shape for name, value in expected.items()
        }
        if weights and fits:
            distiller.load_state_dict(weights)
            is_trained = True
    distiller.to(next(student.network.parameters()).device).train()
    step.set_epoch(epoch)
    student.network.train()
    return _Ready(student, distiller, "trained" if is_trained else "untrained", step)


def _gradients(
    module: DistillationModule, ready: _Ready, samples: Any, number: int, size: int
) -> list[GradientRow]:
    network = ready.student.network
    x = cast_to_model_dtype(network, modality_input(samples, module.modality))
    output = as_output(run_network(network, x))._replace(index=samples.get("index"))
    assert module.task_weight is not None  # checked above
    task = module.task_weight * module.task(output.logits, batch_target(samples))
    logged = ready.step(network, None, output, samples, size).logged
    terms = {k: v for k, v in logged.items() if k not in ready.distiller.logged_values()}
    rows = term_gradients({TASK: task, **terms}, network.parameters(), TASK)
    return [GradientRow(ready.student.label, ready.criterion, number, *row) for row in rows]
