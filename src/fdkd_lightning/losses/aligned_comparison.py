"""Distances and shared classifiers of two networks' vectors by one function where that is right."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.losses.band_comparison import BandComparison
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.aligned_bands import aligned_bands
from fdkd_lightning.ops.distributed import share_of_label
from fdkd_lightning.ops.hooks import has_hooks
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.ops.tensor_checks import check_classes


def aligned_comparison(
    compare: BandComparison,
    classifiers: SharedAlignmentHead,
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    task: Task,
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return the distances of both bands, and :func:`alignment_loss`, of vectors with one label.

    It is :func:`~fdkd_lightning.ops.aligned_bands.aligned_bands`, with the result of ``compare``
    and the classifiers called one by one, up to rounding.

    Args:
        compare: The distances.
        classifiers: The classifiers.
        student: The student's features.
        teacher: The teacher's features.
        target: Labels of both networks' samples.
        task: What the labels mean.

    Returns:
        The three terms; None where the one function does something else than the parts, which are
        then to be called.

    Shape:
        - student, teacher: [N, D], the same
        - target: [N]
        - output: three scalars

    Raises:
        ValueError: If a label is no class.

    Example:
        >>> from fdkd_lightning.decoupler.frequency import FrequencyDecoupler
        >>> from fdkd_lightning.losses.log_mse import LogMSELoss
        >>> from fdkd_lightning.losses.standardizer import UnitLength
        >>> compare = BandComparison(FrequencyDecoupler(), nn.MSELoss(), LogMSELoss(), UnitLength())
        >>> classifiers = SharedAlignmentHead(4, 3)
        >>> for weight in classifiers.parameters():
        ...     _ = nn.init.zeros_(weight)
        >>> x, y = torch.tensor([[2.0, 0.0, 5.0, 1.0]]), torch.tensor([[1.0, 2.0, 0.0, 5.0]])
        >>> task = OneClassTask()
        >>> terms = aligned_comparison(compare, classifiers, x, y, torch.tensor([2]), task)
        >>> [round(term.item(), 4) for term in terms]  # the last is 4 log 3
        [0.5, 0.6576, 4.3944]
    """
    # Attributes of modules are read from their dicts: see FDKDLoss.
    layers: dict[str, Any] = classifiers._modules
    low, high = layers["low"], layers["high"]
    if (
        student.ndim != 2
        or compare.decoupler.dim % 2 != 1
        or torch.is_autocast_enabled(student.device.type)  # each operation has types of its own
        or type(task) is not OneClassTask
        or type(loss := task._modules["loss"]) is not nn.CrossEntropyLoss
        or loss._buffers["weight"] is not None
        or loss.label_smoothing
        or type(classifiers) is not SharedAlignmentHead
        or has_hooks(classifiers, low, high, task, loss)
        or not isinstance(target, Tensor)
        or type(low) is not ProbedLinear
        or type(high) is not ProbedLinear
        or target.dtype != torch.int64
        or target.is_inference()  # autograd cannot save it
        or target.shape != student.shape[:1]
    ):
        return None
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    part = compare.fused_low_part(student, teacher, with_bands=True)
    weight, bias = low._parameters.get("weight"), low._parameters.get("bias")
    other, other_bias = high._parameters.get("weight"), high._parameters.get("bias")
    if (
        part is None
        or weight is None
        or other is None
        or bias is None
        or other_bias is None
        or not weight.dtype == other.dtype == student.dtype
        or weight.shape != other.shape
        or weight.shape[1] != student.shape[1]
        or len(weight) == 1  # refused by the parts
    ):
        return None
    parameters = weight, other, bias, other_bias
    if not len(student):
        # As often over the ranks as a rank that has samples.
        share = share_of_label(target, student.dtype)
        nothing = student.sum()
        return nothing, nothing, share * (nothing + sum(0 * p.sum() for p in parameters))
    plain = partial(compare.part_by_part, labelled=None, with_bands=True)
    try:
        return aligned_bands(student, teacher, part, target, parameters, plain)
    except (IndexError, RuntimeError):
        # Only now: the check reads values.
        check_classes("target", target, student.new_zeros(len(target), len(weight)))
        raise
