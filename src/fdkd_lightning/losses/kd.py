"""KD: the teacher's softened predictions."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import (
    CLASSES_REMEDY,
    DistillationLoss,
    require_same_shape,
    require_teacher,
)
from fdkd_lightning.types import Output


def kd_loss(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    r"""Divergence of the student's softened prediction from the teacher's, in float32.

    .. math::
        T^2 \cdot \frac{1}{N} \sum_i
        \mathrm{KL}\big(\mathrm{softmax}(z^t_i / T) \,\|\, \mathrm{softmax}(z^s_i / T)\big)

    Args:
        student: The student's logits.
        teacher: The teacher's logits; they get no gradient.
        temperature: T, above 0; larger is softer.

    Shape:
        - student, teacher: [N, K] or [N, K, H, W], the same; the mean runs over pixels too
        - output: scalar

    Raises:
        ValueError: If the shapes differ.

    Reference:
        Hinton et al. 2015 (arXiv 1503.02531); megvii-research/mdistiller, distillers/KD.py.

    Example:
        >>> logits = torch.tensor([[1.0, 2.0, 3.0]])
        >>> kd_loss(logits, logits + 5)
        tensor(0.)
    """
    require_same_shape("logits", student, teacher, CLASSES_REMEDY)
    dtype = torch.promote_types(student.dtype, torch.float32)
    log_student = F.log_softmax(student.to(dtype) / temperature, dim=1)
    log_teacher = F.log_softmax(teacher.detach().to(dtype) / temperature, dim=1)
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(1)
    return temperature**2 * divergence.mean()


class KDLoss(DistillationLoss):
    """:func:`kd_loss` as a distillation loss, with the one term ``kd``.

    mdistiller's settings are T=4, weight 0.9, task weight 0.1 on CIFAR-100, and T=1, weight and
    task weight 0.5 on ImageNet. The task weight is the module's, not the loss's; with it at 1, as
    every other method has it, so is the default weight here.

    Args:
        temperature: T, above 0; larger is softer.
        weight: Factor of the term.

    Raises:
        ValueError: If the temperature is not above 0, there is no teacher, or the numbers of
            classes differ.

    Reference:
        Hinton et al. 2015 (arXiv 1503.02531); megvii-research/mdistiller, distillers/KD.py.

    Example:
        >>> output = Output(torch.ones(2, 8), torch.zeros(2, 3))
        >>> KDLoss()(output, output, torch.tensor([0, 1]))
        {'kd': tensor(0.)}
    """

    def __init__(self, temperature: float = 4.0, weight: float = 1.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be above 0, for example 4")
        self.temperature = temperature
        self.weight = weight

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted term."""
        teacher = require_teacher(self, teacher)
        return {"kd": self.weight * kd_loss(student.logits, teacher.logits, self.temperature)}
