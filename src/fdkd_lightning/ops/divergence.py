"""Kullback-Leibler divergence of class predictions, softened by a temperature."""

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.ops.checks import check_choice
from fdkd_lightning.ops.precision import at_least_float32

Reduction = Literal["none", "mean", "class_mean"]
"""One value per sample and pixel; their mean; their mean divided by the number of classes."""


def softened_kl(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    r"""Divergence of the student's softened prediction from the teacher's, in float32.

    .. math::
        d_i = T^2 \, \mathrm{KL}\big(\mathrm{softmax}(z^t_i / T) \,\|\,
        \mathrm{softmax}(z^s_i / T)\big)

    The factor T^2 keeps the gradient's size independent of T.

    Args:
        student: The student's logits.
        teacher: The teacher's logits; they get no gradient.
        temperature: T, above 0; larger is softer.
        reduction: ``"none"`` gives each d, ``"mean"`` their mean, ``"class_mean"`` their mean over
            K (``torch.nn.KLDivLoss(reduction="mean")``).

    Shape:
        - student, teacher: [N, K, ...], the same
        - output: scalar, or [N, ...] with ``reduction="none"``

    Raises:
        ValueError: If the reduction is unknown.

    Reference:
        Hinton et al. 2015 (arXiv 1503.02531), Section 2.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[1.0, 2.0], [5.0, 0.0]])
        >>> softened_kl(logits, logits + 3, temperature=4, reduction="none")
        tensor([0., 0.])
    """
    student = at_least_float32(student)
    teacher = teacher.detach().to(student.dtype)
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    return temperature**2 * kl_divergence(log_student, log_teacher, reduction)


def kl_divergence(
    log_student: Tensor, log_teacher: Tensor, reduction: Reduction = "mean"
) -> Tensor:
    r"""Divergence of log-probabilities: :math:`\sum_k p^t_k (\log p^t_k - \log p^s_k)`.

    Args:
        log_student: The student's log-probabilities.
        log_teacher: The teacher's log-probabilities.
        reduction: As in :func:`softened_kl`.

    Shape:
        - log_student, log_teacher: [N, K, ...], the same
        - output: scalar, or [N, ...] with ``reduction="none"``

    Raises:
        ValueError: If the reduction is unknown.

    Example:
        >>> import torch
        >>> teacher, student = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]])
        >>> kl_divergence(student.log(), teacher.log())  # log(4 / 3) / 2
        tensor(0.1438)
    """
    check_choice("reduction", reduction, get_args(Reduction))
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True)
    if reduction == "class_mean":
        return divergence.mean()
    divergence = divergence.sum(1)
    return divergence.mean() if reduction == "mean" else divergence
