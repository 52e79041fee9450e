"""Divergence over the classes other than the target, as C2KD computes it."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.ops.checks import check_choice
from fdkd_lightning.ops.divergence import check_logits, kl_divergence
from fdkd_lightning.ops.mean import mean
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import check_classes, check_labels

NonTarget = Literal["zero", "masked"]
"""Set the target's logit to 0, as the official code does, or remove it from the softmax."""


def non_target_kl(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    selected: Tensor,
    non_target: NonTarget = "zero",
) -> Tensor:
    r"""KL divergence over the non-target classes of the selected samples, in float32.

    .. math::
        \frac{1}{N} \sum_i m_i \,
        \mathrm{KL}\big(\mathrm{softmax}(\tilde z^t_i) \,\|\, \mathrm{softmax}(\tilde z^s_i)\big)

    The divisor N is the batch size, not the number of selected samples, as in the official code.

    Args:
        student: Logits that are trained.
        teacher: Logits to learn from; they get no gradient.
        target: Class of each sample.
        selected: m, the mask of the samples to include.
        non_target: How z~ excludes the target. ``"zero"`` sets its logit to 0 (official code): the
            target keeps a share of the softmax, equal in both only if the other logits are.
            ``"masked"`` removes it from the softmax, as DKD intends with its -1000: the divergence
            is then 0 for two classes.

    Shape:
        - student, teacher: [N, K], the same
        - target: [N], without -100
        - selected: [N], bool
        - output: scalar

    Raises:
        TypeError: If an argument has another type.
        ValueError: If the shapes do not fit, a target is no class, ``non_target`` is unknown, or
            (on a CPU) the student masks a class (-inf) that the teacher does not mask.

    Reference:
        Huo et al., C2KD (CVPR 2024); huofushuo/C2KD, cramed/utils/helper.py (ntkl).

    Example:
        >>> logits = torch.tensor([[7.0, 1.0, 2.0]])
        >>> target, selected = torch.tensor([0]), torch.tensor([True])
        >>> non_target_kl(logits, torch.tensor([[-5.0, 1.0, 2.0]]), target, selected)
        tensor(0.)
    """
    divergence = non_target_divergence(student, teacher, target, non_target)
    if not isinstance(selected, Tensor) or selected.shape != divergence.shape:
        raise ValueError(
            f"selected is {selected!r:.60}, but student has shape {list(student.shape)}: give a "
            f"mask {list(divergence.shape)}"
        )
    if selected.dtype != torch.bool:
        raise ValueError(f"selected has dtype {selected.dtype}: give a mask of torch.bool, [N]")
    return mean(selected * divergence)


def non_target_divergence(
    student: Tensor, teacher: Tensor, target: Tensor, non_target: NonTarget = "zero"
) -> Tensor:
    """Compute the divergence of :func:`non_target_kl` for each sample.

    Args:
        student: Logits that are trained.
        teacher: Logits to learn from; they get no gradient.
        target: Class of each sample.
        non_target: As in :func:`non_target_kl`.

    Shape:
        - student, teacher: [N, K], the same
        - target: [N], without -100
        - output: [N]

    Raises:
        TypeError, ValueError: As :func:`non_target_kl`.

    Example:
        >>> logits = torch.tensor([[7.0, 1.0, 2.0]])
        >>> non_target_divergence(logits, logits - 3, torch.tensor([0]), "masked")
        tensor([0.])
    """
    check_logits(student, teacher)
    n = student.shape[:1]
    if student.ndim != 2:
        raise ValueError(f"student has shape {list(student.shape)}: give logits [N, K]")
    if non_target == "masked" and student.shape[1] < 2:
        raise ValueError(
            f"logits have shape {list(student.shape)}: non_target='masked' leaves no class, so "
            "give at least two"
        )
    check_labels("target", target, n, f"logits {list(student.shape)}")
    # Of two classes one is left, whose divergence is 0.
    log_student, log_teacher = (
        F.log_softmax(_exclude(at_least_float32(logits), target, non_target), dim=1)
        for logits in (student, teacher.detach().to(student.dtype))
    )
    return kl_divergence(log_student, log_teacher, "none")


def set_target(x: Tensor, target: Tensor, value: float | bool) -> Tensor:
    """Return a copy of class scores with a value in place of the target's; -100 is no target.

    Example:
        >>> set_target(torch.tensor([[7.0, 1.0]]), torch.tensor([0]), 0.0)
        tensor([[0., 1.]])
    """
    try:
        return x.scatter(1, target.unsqueeze(1), value)
    except (IndexError, RuntimeError):
        # Only now: the check reads values.
        check_classes("target", target.where(target >= 0, -1), x)
        raise


def _exclude(logits: Tensor, target: Tensor, non_target: NonTarget) -> Tensor:
    check_choice("non_target", non_target, get_args(NonTarget))
    if non_target == "zero":
        return set_target(logits, target, 0.0)
    # The K - 1 columns other than the target's, in their order.
    column = torch.arange(logits.shape[1] - 1, device=logits.device).expand(len(logits), -1)
    return logits.gather(1, column + (column >= target.unsqueeze(1)))
