"""Loss of the shared classifiers of stacked bands: one operation where it can be."""

import torch
from torch import Tensor, nn

from fdkd_lightning.losses.alignment import SharedAlignmentHead, alignment_loss
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.distributed import mean_over_ranks
from fdkd_lightning.ops.hooks import has_hooks
from fdkd_lightning.ops.rectified_cross_entropy import rectified_cross_entropy_sum
from fdkd_lightning.ops.tensor_checks import check_classes
from fdkd_lightning.types import IGNORE_INDEX, Bands


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
    both = torch.cat([target, target])
    parameters = _plain_parameters(classifiers, bands, both, task)
    if parameters is None:
        # With the same labels, twice the mean over both networks is the sum of their means.
        return 2 * alignment_loss(classifiers(Bands(*bands)), None, both, task=task)
    weights, biases = parameters
    try:
        total = rectified_cross_entropy_sum(bands, weights, biases, both)
    except RuntimeError:
        # Only now: the check reads values.
        check_classes("target", target, bands.new_zeros(len(target), len(biases[0])))
        raise
    return mean_over_ranks(total, (target != IGNORE_INDEX).sum().to(total.dtype))


def unstack(scores: Bands) -> tuple[Bands, Bands]:
    """Return the first half of the samples, and the second."""
    size = len(scores.low) // 2
    return Bands(*(x[:size] for x in scores)), Bands(*(x[size:] for x in scores))


def _plain_parameters(
    classifiers: SharedAlignmentHead, bands: Tensor, target: Tensor, task: Task
) -> tuple[list[Tensor], list[Tensor]] | None:
    """Weights and biases for the one operation; None if that does something else than the parts."""
    layers = classifiers.low, classifiers.high
    if (
        torch.compiler.is_compiling()  # a compiler fuses the parts itself
        or torch.is_autocast_enabled(bands.device.type)  # each operation has types of its own
        or type(task) is not OneClassTask
        or type(loss := task.loss) is not nn.CrossEntropyLoss
        or loss.weight is not None
        or loss.label_smoothing
        or type(classifiers) is not SharedAlignmentHead
        or any(map(has_hooks, (classifiers, *layers, task, loss)))
        or target.dtype != torch.int64
        or target.shape != bands.shape[1:2]
    ):
        return None
    weights = [weight for layer in layers if (weight := layer.weight) is not None]
    biases = [bias for layer in layers if (bias := layer.bias) is not None]
    shape = weights[0].shape if weights else torch.Size()
    if (
        bands.shape != (len(weights), len(target), *shape[1:])
        or shape[0] == 1  # refused by the plain form
        or any(w.shape != shape or w.dtype != bands.dtype for w in weights)
    ):
        return None
    return list(weights), list(biases)
