"""Regression KD: the teacher's outputs as targets."""

from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.outputs import require_same_shape
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.regression import RegressionTask
from fdkd_lightning.ops.checks import check_weights
from fdkd_lightning.ops.mean import mean_squared_error
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import check_tensor
from fdkd_lightning.types import Output

REMEDY = "train both on the same values"


def regression_kd_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean squared difference of the outputs from the teacher's, in float32.

    .. math:: \frac{1}{NK} \sum_{i,k} (z^s_{ik} - z^t_{ik})^2

    Args:
        student: The student's outputs.
        teacher: The teacher's outputs; they get no gradient.

    Shape:
        - student, teacher: [N, K], [N, K, H, W] or [N], the same
        - output: scalar, 0 for an empty batch

    Raises:
        TypeError: If an argument is no tensor.
        ValueError: If the outputs are not floating-point, or their shapes differ.

    Reference:
        M. R. U. Saputra et al., "Distilling Knowledge From a Deep Pose Regressor Network", ICCV
        2019 (arXiv 1908.00858): imitation of the teacher's outputs, without weighting samples by
        the teacher's error.

    Example:
        >>> import torch
        >>> regression_kd_loss(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [5.0]]))
        tensor(4.5000)
    """
    require_same_shape("outputs", student, teacher, REMEDY)
    check_tensor("the student's outputs", student, "[N, K], [N, K, H, W] or [N]", *range(1, 6))
    student = at_least_float32(student)
    return mean_squared_error(student, teacher.detach().to(student.dtype))


class RegressionKDLoss(DistillationLoss):
    """Distillation loss with the term ``kd``: w times :func:`regression_kd_loss` of the outputs.

    The counterpart of :class:`KDLoss` for networks that predict numbers, which have no temperature.

    Args:
        weight: Factor w of the term.

    Shape:
        - logits: [N, K], [N, K, H, W] or [N], the same for both
        - target: not used

    Raises:
        ValueError: If the weight is negative or not finite, there is no teacher, or the outputs'
            shapes differ.

    Example:
        >>> import torch
        >>> student, teacher = (Output(torch.ones(2, 8), torch.full((2, 1), x)) for x in (0.0, 3.0))
        >>> RegressionKDLoss(weight=0.5)(student, teacher, torch.ones(2))
        {'kd': tensor(4.5000)}
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        check_weights(weight=weight)
        self.weight = weight

    def tasks(self) -> tuple[type[Task], ...]:
        """Return the task whose outputs are numbers."""
        return (RegressionTask,)

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted term."""
        teacher = require_teacher(self, teacher)
        return {"kd": self.weight * regression_kd_loss(student.logits, teacher.logits)}
