"""Feat: mean squared error of the features."""

from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.outputs import PROJECTOR_REMEDY, require_same_shape
from fdkd_lightning.ops.checks import check_weights
from fdkd_lightning.ops.mean import mean_squared_error
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Output


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean squared error of the features, :math:`\frac{1}{ND} \sum (f^s - f^t)^2`, in float32.

    Args:
        student: The student's features.
        teacher: The teacher's features; they get no gradient.

    Shape:
        - student, teacher: [N, D] or [N, D, H, W], the same; the mean runs over pixels too
        - output: scalar, 0 for an empty batch

    Raises:
        TypeError: If an argument is no tensor.
        ValueError: If the features are not floating-point or their shapes differ.

    Reference:
        The row "Feat" of FD-CMKD (arXiv 2511.19887), Table 1.

    Example:
        >>> import torch
        >>> feature_loss(torch.zeros(2, 8), torch.full((2, 8), 3.0))
        tensor(9.)
    """
    require_same_shape("features", student, teacher, PROJECTOR_REMEDY)
    student = at_least_float32(student)
    return mean_squared_error(student, teacher.detach().to(student.dtype))


class FeatureLoss(DistillationLoss):
    """Distillation loss with the term ``feature``: w times :func:`feature_loss`.

    Args:
        weight: Factor w of the term; the paper does not state its value.

    Shape:
        - features: [N, D] or [N, D, H, W], the same for both
        - target: not used

    Raises:
        ValueError: If the weight is negative or not finite, there is no teacher, or the features'
            shapes differ.

    Example:
        >>> import torch
        >>> output = Output(torch.ones(2, 8), torch.zeros(2, 3))
        >>> FeatureLoss()(output, output, torch.tensor([0, 1]))
        {'feature': tensor(0.)}
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        check_weights(weight=weight)
        self.weight = weight

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted term."""
        teacher = require_teacher(self, teacher)
        return {"feature": self.weight * feature_loss(student.features, teacher.features)}
