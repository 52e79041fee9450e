"""SP: similarities between the samples of a batch."""

import torch
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.outputs import require_same_batch, stage_map
from fdkd_lightning.ops.checks import check_count, check_weights
from fdkd_lightning.ops.mean import mean_squared_error
from fdkd_lightning.ops.normalize import l2_normalize
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.scale import in_range
from fdkd_lightning.types import Output


def sp_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean squared difference of the samples' normalised similarities, in float32.

    .. math::
        \frac{1}{N^2} \sum_{ij} (G^t_{ij} - G^s_{ij})^2, \quad
        G_{ij} = \frac{f_i \cdot f_j}{\sqrt{\sum_k (f_i \cdot f_k)^2}}

    Only similarities are compared, so the networks' channels and map sizes may differ. For a batch
    of one the loss is zero.

    Args:
        student: The student's map.
        teacher: The teacher's map; it gets no gradient.

    Shape:
        - student, teacher: [N, ...], each flattened to vectors f; their lengths may differ
        - output: scalar, 0 for an empty batch

    Raises:
        TypeError: If an argument is no tensor.
        ValueError: If a map is not floating-point, or the numbers of samples differ.

    Reference:
        Tung and Mori 2019 (arXiv 1907.09682); megvii-research/mdistiller, distillers/SP.py.

    Example:
        >>> sp_loss(torch.eye(2), torch.eye(2, 3).view(2, 1, 1, 3))
        tensor(0.)
    """
    require_same_batch(student, teacher)
    return mean_squared_error(_similarities(student), _similarities(teacher.detach()))


def _similarities(x: Tensor) -> Tensor:
    if x.ndim == 1:
        x = x.unsqueeze(1)
    rows = at_least_float32(x).flatten(1)
    rows = in_range(rows, 2, (0, 1))
    # Autocast would compute the product in bf16.
    with torch.autocast(rows.device.type, enabled=False):
        return l2_normalize(rows @ rows.T)


class SPLoss(DistillationLoss):
    """Distillation loss with the term ``sp``: w times :func:`sp_loss` of a stage's maps.

    Args:
        stage: Index into ``Output.maps``; mdistiller compares the last stage, the paper sums over
            pairs of layers.
        weight: Factor w of the term; mdistiller sets 3000.

    Shape:
        - maps: [N, C, H, W], any C, H and W
        - target: not used

    Raises:
        ValueError: If the weight is negative or not finite, there is no teacher, or no such stage.

    Example:
        >>> output = Output(torch.ones(2, 8), torch.zeros(2, 3), (torch.ones(2, 8, 4, 4),))
        >>> SPLoss()(output, output, torch.tensor([0, 1]))
        {'sp': tensor(0.)}
    """

    def __init__(self, stage: int = -1, weight: float = 3000.0) -> None:
        super().__init__()
        check_count("stage", stage, None, example=-1)
        check_weights(weight=weight)
        self.stage = stage
        self.weight = weight

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted term."""
        teacher = require_teacher(self, teacher)
        student_map = stage_map("student", student, self.stage)
        teacher_map = stage_map("teacher", teacher, self.stage)
        return {"sp": self.weight * sp_loss(student_map, teacher_map)}
