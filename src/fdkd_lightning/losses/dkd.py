"""DKD: what the teacher says of the target class, and what of the others, weighed apart."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import (
    CLASSES_REMEDY,
    DistillationLoss,
    label_or_prediction,
    require_same_shape,
    require_teacher,
)
from fdkd_lightning.losses.schedule import WarmUp
from fdkd_lightning.types import Output

# How far the official code lowers the target's logit to leave it out of a softmax.
LOWERED = 1000.0


def dkd_loss(
    student: Tensor, teacher: Tensor, target: Tensor, temperature: float = 4.0
) -> tuple[Tensor, Tensor]:
    r"""Divergence over the target class and the rest, and over the other classes, in float32.

    .. math::
        \mathrm{TCKD} = \frac{T^2}{N} \sum_i \mathrm{KL}\big((p^t_{i y}, 1 - p^t_{i y}) \,\|\,
        (p^s_{i y}, 1 - p^s_{i y})\big), \qquad
        \mathrm{NCKD} = \frac{T^2}{N} \sum_i \mathrm{KL}(\hat p^t_i \,\|\, \hat p^s_i)

    with :math:`p = \mathrm{softmax}(z / T)`, y the sample's class and :math:`\hat p =
    \mathrm{softmax}(z / T - 1000 \cdot \mathrm{onehot}(y))`, which leaves y out unless its logit
    is larger than the others' by some 900 T. All of it stays a logarithm: where the official code
    takes the log of a probability that is rounded to 0, its loss is infinite. Two classes have
    only one other, whose share is 1 for both: NCKD is zero, without a gradient.

    Args:
        student: The student's logits.
        teacher: The teacher's logits; they get no gradient.
        target: The class y of each sample or pixel; none may be -100 (:class:`DKDLoss` has a
            class for those).
        temperature: T, above 0; larger is softer.

    Returns:
        TCKD and NCKD.

    Shape:
        - student, teacher: [N, K] or [N, K, H, W], the same; the mean runs over pixels too
        - target: [N] or [N, H, W]
        - output: two scalars

    Raises:
        ValueError: If the shapes of the logits differ.

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
    require_same_shape("logits", student, teacher, CLASSES_REMEDY)
    dtype = torch.promote_types(student.dtype, torch.float32)
    student, teacher = student.to(dtype) / temperature, teacher.detach().to(dtype) / temperature
    is_target = torch.zeros_like(student, dtype=torch.bool).scatter(1, target.unsqueeze(1), True)
    tckd = _divergence(_target_or_not(student, is_target), _target_or_not(teacher, is_target))
    nckd = _divergence(_others(student, is_target), _others(teacher, is_target))
    return temperature**2 * tckd, temperature**2 * nckd


def _target_or_not(logits: Tensor, is_target: Tensor) -> Tensor:
    """Log-probabilities of two events, the target class and any other: [N, 2, ...]."""
    logs = F.log_softmax(logits, dim=1)
    target = logs.masked_fill(~is_target, 0.0).sum(1)
    other = logs.masked_fill(is_target, -torch.inf).logsumexp(1)
    return torch.stack([target, other], 1)


def _others(logits: Tensor, is_target: Tensor) -> Tensor:
    """Log-probabilities of the classes but the target, whose own share is next to nothing."""
    return F.log_softmax(torch.where(is_target, logits - LOWERED, logits), dim=1)


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over samples of KL(teacher, student), of log-probabilities along dim 1."""
    return F.kl_div(student, teacher, reduction="none", log_target=True).sum(1).mean()


class DKDLoss(DistillationLoss):
    r""":func:`dkd_loss` as a distillation loss, with the terms ``tckd`` and ``nckd``.

    .. math::
        L = w \, \min\Big(\frac{e + 1}{E}, 1\Big) \,
        \big(\alpha \, \mathrm{TCKD} + \beta \, \mathrm{NCKD}\big)

    in epoch e, counted from 0 as the trainer does. mdistiller counts from 1: its first epoch has
    1/E as well. A sample without a label counts as what the teacher takes it for. With two classes
    ``nckd`` is zero, whatever beta is (mdistiller issue 60): alpha alone is then in force.

    The defaults are mdistiller's on CIFAR-100. On ImageNet (ResNet-34 to ResNet-18) it has
    beta=0.5, T=1 and warmup=1; the task weight is 1 on both.

    Args:
        alpha: Weight of ``tckd``.
        beta: Weight of ``nckd``.
        temperature: T, above 0; larger is softer.
        warmup: E, the number of the epoch, counted from 1, that first has the whole weight; 0, as
            1, is no warm-up.
        weight: Factor of both terms.

    Shape:
        - logits: [N, K] or [N, K, H, W], the same for both
        - target: [N] or [N, H, W]

    Raises:
        ValueError: If the temperature is not above 0, the warm-up is negative, there is no
            teacher, or the numbers of classes differ.

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
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be above 0, for example 4")
        if warmup < 0:
            raise ValueError(f"warmup={warmup} must be a number of epochs, 0 for no warm-up")
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
        """The last epoch of the warm-up."""
        return max(self.warmup - 1, 0)

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted terms."""
        teacher = require_teacher(self, teacher)
        tckd, nckd = dkd_loss(
            student.logits, teacher.logits, label_or_prediction(target, teacher), self.temperature
        )
        weight = self.weight * WarmUp(max(self.warmup, 1))(self.epoch)
        return {"tckd": weight * self.alpha * tckd, "nckd": weight * self.beta * nckd}
