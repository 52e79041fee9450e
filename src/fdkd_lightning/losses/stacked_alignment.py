"""Losses of the shared classifiers of stacked bands, at once for both networks where possible."""

import torch
from torch import Tensor

from fdkd_lightning.losses.alignment import (
    SharedAlignmentHead,
    alignment_loss,
    soft_alignment_loss,
)
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.types import Bands, Output


def stacked_alignment_loss(
    classifiers: SharedAlignmentHead,
    bands: Tensor,
    target: Tensor,
    teacher_target: Tensor | None = None,
    task: Task | None = None,
) -> Tensor:
    """Return :func:`alignment_loss` of bands of the student, followed by those of the teacher.

    Args:
        classifiers: The classifiers.
        bands: The low, then the high bands, the student's followed by the teacher's.
        target: Labels of the student's samples.
        teacher_target: Labels of the teacher's samples; None: the same as the student's.
        task: What the labels mean; None: one class per sample.

    Shape:
        - bands: [2, 2N, D, ...]
        - target, teacher_target: [N], or as the task has it
        - output: scalar

    Raises:
        TypeError, ValueError: As :func:`alignment_loss`.
    """
    task = OneClassTask() if task is None else task
    same_labels = teacher_target is None and isinstance(target, Tensor)
    if not same_labels or target.shape[:1] != (bands.shape[1] // 2,):
        return alignment_loss(*unstack(classifiers(Bands(*bands))), target, teacher_target, task)
    # With the same labels, twice the mean over both networks is the sum of their means.
    both = torch.cat([target, target])
    return 2 * alignment_loss(classifiers(Bands(*bands)), None, both, task=task)


def stacked_soft_alignment_loss(
    classifiers: SharedAlignmentHead,
    bands: Tensor,
    teacher: Output,
    target: Tensor,
    temperature: float,
) -> Tensor:
    """Return :func:`soft_alignment_loss` of bands of the student, followed by the teacher's.

    Args:
        classifiers: The classifiers.
        bands: The low, then the high bands, the student's followed by the teacher's.
        teacher: The teacher's output, with its prediction, and labels of its own if it has any.
        target: Labels of the student's samples.
        temperature: T, above 0.

    Shape:
        - bands: [2, 2N, D, ...]
        - target: [N] or [N, H, W]
        - output: scalar
    """
    return soft_alignment_loss(
        *unstack(classifiers(Bands(*bands))), teacher.logits, target, teacher.label, temperature
    )


def unstack(scores: Bands) -> tuple[Bands, Bands]:
    """Return the first half of the samples, and the second."""
    size = len(scores.low) // 2
    return Bands(*(x[:size] for x in scores)), Bands(*(x[size:] for x in scores))
