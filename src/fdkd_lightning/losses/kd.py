"""KD: the teacher's softened predictions."""

from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.checks import check_range, check_weights
from fdkd_lightning.ops.divergence import softened_kl
from fdkd_lightning.types import Output


def kd_loss(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    r"""Mean KL divergence of the student's softened predictions from the teacher's, in float32.

    .. math::
        T^2 \cdot \frac{1}{N} \sum_i
        \mathrm{KL}\big(\mathrm{softmax}(z^t_i / T) \,\|\, \mathrm{softmax}(z^s_i / T)\big)

    Args:
        student: The student's logits.
        teacher: The teacher's logits; they get no gradient.
        temperature: T, above 0; larger is softer.

    Shape:
        - student, teacher: [N, K] or [N, K, H, W], the same; the mean runs over pixels too
        - output: scalar, 0 for an empty batch

    Raises:
        TypeError: If an argument has another type.
        ValueError: If the logits are not floating-point or their shapes differ, the temperature is
            not above 0, or (on a CPU) the student masks a class that the teacher does not mask.

    Reference:
        Hinton et al. 2015 (arXiv 1503.02531); megvii-research/mdistiller, distillers/KD.py.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[1.0, 2.0, 3.0]])
        >>> kd_loss(logits, logits + 5)
        tensor(0.)
    """
    return softened_kl(student, teacher, temperature)


class KDLoss(DistillationLoss):
    r"""Distillation loss with the term ``kd``: :math:`w` times :func:`kd_loss` of the logits.

    mdistiller sets T=4, weight 0.9 and task weight 0.1 on CIFAR-100, and T=1, weight 0.5 and task
    weight 0.5 on ImageNet. The task weight belongs to the module, not to the loss; it is 1 by
    default, as for all other methods, and so is the weight here.

    Args:
        temperature: T, above 0; larger is softer.
        weight: Factor w of the term.

    Shape:
        - logits: [N, K] or [N, K, H, W], the same for both
        - target: not used

    Raises:
        ValueError: If the temperature is not above 0, the weight negative or not finite, there is
            no teacher, or the numbers of classes differ.

    Example:
        >>> import torch
        >>> output = Output(torch.ones(2, 8), torch.zeros(2, 3))
        >>> KDLoss()(output, output, torch.tensor([0, 1]))
        {'kd': tensor(0.)}
    """

    def __init__(self, temperature: float = 4.0, weight: float = 1.0) -> None:
        super().__init__()
        check_range("temperature", temperature, above=0, example=4)
        check_weights(weight=weight)
        self.temperature = temperature
        self.weight = weight

    def tasks(self) -> tuple[type[Task], ...]:
        """Return the task of a softmax."""
        return (OneClassTask,)

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted term."""
        teacher = require_teacher(self, teacher)
        return {"kd": self.weight * kd_loss(student.logits, teacher.logits, self.temperature)}
