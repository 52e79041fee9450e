"""Kullback-Leibler divergence of class predictions, softened by a temperature."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.ops.checks import check_choice, check_range
from fdkd_lightning.ops.mean import mean
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import check_has_classes, check_on_cpu, check_tensor

Reduction = Literal["none", "mean", "class_mean"]
"""One value per sample and pixel; their mean; their mean divided by the number of classes."""


def softened_kl(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    r"""Divergence of the student's softened prediction from the teacher's, in float32.

    .. math::
        d_i = T^2 \, \mathrm{KL}\big(\mathrm{softmax}(z^t_i / T) \,\|\,
        \mathrm{softmax}(z^s_i / T)\big)

    The factor T^2 keeps the gradient's size independent of T. A class that the teacher masks with
    a logit of -inf adds nothing, as p log p is 0 for p = 0.

    Args:
        student: The student's logits.
        teacher: The teacher's logits; they get no gradient.
        temperature: T, above 0; larger is softer.
        reduction: ``"none"`` gives each d, ``"mean"`` their mean, ``"class_mean"`` their mean over
            K (``torch.nn.KLDivLoss(reduction="mean")``).

    Shape:
        - student, teacher: [N, K, ...], the same
        - output: scalar, or [N, ...] with ``reduction="none"``; the mean of an empty batch is 0

    Reference:
        Hinton et al. 2015 (arXiv 1503.02531), Section 2.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[1.0, 2.0], [5.0, 0.0]])
        >>> softened_kl(logits, logits + 3, temperature=4, reduction="none")
        tensor([0., 0.])
    """
    check_range("temperature", temperature, above=0, example=4)
    check_logits(student, teacher)
    student = at_least_float32(student)
    teacher = teacher.detach().to(student.dtype)
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    return temperature**2 * kl_divergence(log_student, log_teacher, reduction)


def kl_divergence(
    log_student: Tensor, log_teacher: Tensor, reduction: Reduction = "mean"
) -> Tensor:
    r"""Divergence of log-probabilities: :math:`\sum_k p^t_k (\log p^t_k - \log p^s_k)`.

    Shape:
        - log_student, log_teacher: [N, K, ...], the same
        - output: scalar, or [N, ...] with ``reduction="none"``

    Example:
        >>> import torch
        >>> teacher, student = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]])
        >>> kl_divergence(student.log(), teacher.log())  # log(4 / 3) / 2
        tensor(0.1438)
    """
    check_choice("reduction", reduction, get_args(Reduction))
    check_masks(log_student, log_teacher)
    # A masked class has p = 0: p (log p - log q) is 0, not 0 * inf.
    masked = log_teacher == -torch.inf
    log_student = log_student.masked_fill(masked, 0.0)
    log_teacher = log_teacher.masked_fill(masked, 0.0)
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True)
    if reduction == "class_mean":
        return mean(divergence)
    divergence = divergence.sum(1)
    return mean(divergence) if reduction == "mean" else divergence


def check_logits(student: Tensor, teacher: Tensor) -> None:
    """Raise unless both are class scores of the same shape."""
    for role, logits in (("student", student), ("teacher", teacher)):
        check_tensor(f"the {role}'s logits", logits, "[N, K] or [N, K, H, W]", *range(2, 6))
    if student.shape != teacher.shape:
        raise ValueError(
            f"the student's logits have shape {list(student.shape)}, "
            f"the teacher's {list(teacher.shape)}: train both on the same classes"
        )
    check_has_classes(student)


def check_masks(student: Tensor, teacher: Tensor) -> None:
    """Raise if the student masks a class, by -inf, that the teacher does not mask.

    Its divergence would be infinite. Values on a GPU are not read: that would be a synchronisation
    in every step.

    Example:
        >>> import torch
        >>> masked, whole = torch.tensor([[0.0, -torch.inf]]), torch.zeros(1, 2)
        >>> check_masks(whole, masked)
        >>> check_masks(masked, whole)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: the student's logits mask a class (-inf) that the teacher's do not: ...
    """
    alone = (student == -torch.inf) & ~((teacher == -torch.inf) | teacher.isnan())
    check_on_cpu(
        ~alone.any(),
        "the student's logits mask a class (-inf) that the teacher's do not: mask it in both, or "
        "in the teacher alone",
    )
