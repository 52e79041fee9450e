"""Feat: mean squared error of the features."""

import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import (
    PROJECTOR_REMEDY,
    DistillationLoss,
    require_same_shape,
    require_teacher,
)
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Output


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean squared error of the features, :math:`\frac{1}{ND} \sum (f^s - f^t)^2`, in float32.

    Args:
        student: The student's features.
        teacher: The teacher's features; they get no gradient.

    Shape:
        - student, teacher: [N, D] or [N, D, H, W], the same; the mean runs over pixels too
        - output: scalar

    Raises:
        ValueError: If the shapes differ.

    Reference:
        The row "Feat" of FD-CMKD (arXiv 2511.19887), Table 1.

    Example:
        >>> import torch
        >>> feature_loss(torch.zeros(2, 8), torch.full((2, 8), 3.0))
        tensor(9.)
    """
    require_same_shape("features", student, teacher, PROJECTOR_REMEDY)
    student = at_least_float32(student)
    return F.mse_loss(student, teacher.detach().to(student.dtype))


class FeatureLoss(DistillationLoss):
    """Distillation loss with the term ``feature``: w times :func:`feature_loss`.

    Args:
        weight: Factor w of the term; the paper does not state its value.

    Shape:
        - features: [N, D] or [N, D, H, W], the same for both
        - target: not used

    Raises:
        ValueError: If there is no teacher or the features' shapes differ.

    Reference:
        The row "Feat" of FD-CMKD (arXiv 2511.19887), Table 1.

    Example:
        >>> import torch
        >>> output = Output(torch.ones(2, 8), torch.zeros(2, 3))
        >>> FeatureLoss()(output, output, torch.tensor([0, 1]))
        {'feature': tensor(0.)}
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted term."""
        teacher = require_teacher(self, teacher)
        return {"feature": self.weight * feature_loss(student.features, teacher.features)}
