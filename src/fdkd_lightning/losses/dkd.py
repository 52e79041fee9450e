"""DKD: the teacher's predictions of the target class and of the other classes, decoupled."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, label_or_prediction, require_teacher
from fdkd_lightning.losses.non_target import set_target
from fdkd_lightning.losses.schedule import WarmUp
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.checks import check_count, check_range, check_weights
from fdkd_lightning.ops.divergence import check_logits, check_masks, kl_divergence
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import check_labels
from fdkd_lightning.types import Output

# The official code subtracts this from the target's logit to remove it from a softmax.
LOWERED = 1000.0


def dkd_loss(
    student: Tensor, teacher: Tensor, target: Tensor, temperature: float = 4.0
) -> tuple[Tensor, Tensor]:
    r"""KL divergences over target and non-target, and among the non-target classes, in float32.

    .. math::
        \mathrm{TCKD} = \frac{T^2}{N} \sum_i \mathrm{KL}\big((p^t_{i y}, 1 - p^t_{i y}) \,\|\,
        (p^s_{i y}, 1 - p^s_{i y})\big), \qquad
        \mathrm{NCKD} = \frac{T^2}{N} \sum_i \mathrm{KL}(\hat p^t_i \,\|\, \hat p^s_i)

    Here :math:`p = \mathrm{softmax}(z / T)`, y is the sample's class and :math:`\hat p =
    \mathrm{softmax}(z / T - 1000 \cdot \mathrm{onehot}(y))`. The latter excludes y unless its logit
    exceeds the others by about 900 T.

    All probabilities are kept as logarithms. The official code takes the logarithm of
    probabilities that may be rounded to 0, and its loss is then infinite. With two classes the
    only other class has the share 1 in both predictions: NCKD is zero, with zero gradient. With
    one class both are zero, and for an empty batch. A class that the teacher masks (-inf) adds 0.

    Args:
        student: The student's logits.
        teacher: The teacher's logits; they get no gradient.
        target: Class y of each sample or pixel, without -100 (:class:`DKDLoss` replaces it).
        temperature: T, above 0; larger is softer.

    Returns:
        TCKD and NCKD.

    Shape:
        - student, teacher: [N, K] or [N, K, H, W], the same; the mean runs over pixels too
        - target: [N] or [N, H, W]
        - output: two scalars

    Raises:
        TypeError: If an argument has another type.
        ValueError: If the logits are not floating-point or their shapes differ, the target is not
            one class each, the temperature is not above 0, or (on a CPU) the student masks a class
            that the teacher does not mask.

    Reference:
        Zhao et al. 2022 (arXiv 2203.08679); megvii-research/mdistiller,
        distillers/DKD.py.

    Example:
        >>> teacher = torch.tensor([[0.0, 1.0, 3.0]])
        >>> student = teacher + torch.tensor([[0.0, 0.0, 2.0]])
        >>> tckd, nckd = dkd_loss(student, teacher, torch.tensor([2]))
        >>> round(tckd.item(), 4), nckd
        (0.4973, tensor(0.))
    """
    check_range("temperature", temperature, above=0, example=4)
    check_logits(student, teacher)
    size = student.shape[:1] + student.shape[2:]
    check_labels("target", target, size, f"logits {list(student.shape)}")
    check_masks(student, teacher)
    student = at_least_float32(student)
    teacher = teacher.detach().to(student.dtype)
    student, teacher = student / temperature, teacher / temperature
    is_target = set_target(torch.zeros_like(student, dtype=torch.bool), target, True)
    tckd = kl_divergence(_target_or_not(student, is_target), _target_or_not(teacher, is_target))
    nckd = kl_divergence(_non_target(student, is_target), _non_target(teacher, is_target))
    return temperature**2 * tckd, temperature**2 * nckd


def _target_or_not(logits: Tensor, is_target: Tensor) -> Tensor:
    """Log-probabilities of two events, the target class and any other class: [N, 2, ...]."""
    log_probabilities = F.log_softmax(logits, dim=1)
    target = log_probabilities.masked_fill(~is_target, 0.0).sum(1)
    # log 0 where there is no other class, without the NaN that is its gradient.
    others = log_probabilities.masked_fill(is_target, -torch.inf)
    none = (others == -torch.inf).all(1)
    other = others.masked_fill(none.unsqueeze(1), 0.0).logsumexp(1).masked_fill(none, -torch.inf)
    return torch.stack([target, other], 1)


def _non_target(logits: Tensor, is_target: Tensor) -> Tensor:
    """Log-probabilities of the classes, the target excluded: [N, K, ...]."""
    return F.log_softmax(torch.where(is_target, logits - LOWERED, logits), dim=1)


class DKDLoss(DistillationLoss):
    r"""Distillation loss with the terms ``tckd`` and ``nckd`` of :func:`dkd_loss`.

    .. math::
        L = w \, \min\Big(\frac{e + 1}{E}, 1\Big) \,
        \big(\alpha \, \mathrm{TCKD} + \beta \, \mathrm{NCKD}\big)

    e is the epoch, counted from 0 as the trainer does. mdistiller counts from 1; its first epoch
    also has the factor 1/E. An unlabelled sample has the teacher's predicted class as its target.
    With two classes ``nckd`` is zero whatever beta is (mdistiller issue 60); only alpha acts.

    The defaults are mdistiller's on CIFAR-100. On ImageNet (ResNet-34 to ResNet-18) it sets
    beta=0.5, T=1 and warmup=1. The task weight is 1 on both.

    Args:
        alpha: Weight of ``tckd``.
        beta: Weight of ``nckd``.
        temperature: T, above 0; larger is softer.
        warmup: E, the first epoch with full weight, counted from 1; 0 and 1 disable the warm-up.
        weight: Factor w of both terms.

    Shape:
        - logits: [N, K] or [N, K, H, W], the same for both
        - target: [N] or [N, H, W], -100 for unlabelled samples

    Raises:
        TypeError: If the warm-up is no whole number.
        ValueError: If the temperature is not above 0, a weight or the warm-up is negative, there is
            no teacher, or the numbers of classes differ.

    Reference:
        Zhao et al. 2022 (arXiv 2203.08679); megvii-research/mdistiller,
        distillers/DKD.py and engine/cfg.py.

    Example:
        >>> output = Output(torch.ones(2, 8), torch.zeros(2, 3))
        >>> DKDLoss()(output, output, torch.tensor([0, -100]))
        {'tckd': tensor(0.), 'nckd': tensor(0.)}
    """

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float = 4.0,
        warmup: int = 20,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_range("temperature", temperature, above=0, example=4)
        check_count("warmup", warmup, 0, example=20)
        check_weights(alpha=alpha, beta=beta, weight=weight)
        self.alpha = alpha
        self.beta = beta
        self.temperature = temperature
        self.warmup = warmup
        self.weight = weight
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the warm-up, counted from 0."""
        self.epoch = epoch

    def warmup_epochs(self) -> int:
        """Return the first epoch with full weight, counted from 0."""
        return max(self.warmup - 1, 0)

    def tasks(self) -> tuple[type[Task], ...]:
        """Return the task of a softmax."""
        return (OneClassTask,)

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms."""
        teacher = require_teacher(self, teacher)
        tckd, nckd = dkd_loss(
            student.logits, teacher.logits, label_or_prediction(target, teacher), self.temperature
        )
        weight = self.weight * WarmUp(max(self.warmup, 1))(self.epoch)
        return {"tckd": weight * self.alpha * tckd, "nckd": weight * self.beta * nckd}
