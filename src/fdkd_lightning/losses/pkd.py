"""PKD: what is left of the features without the scale of their channels."""

import math

import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import (
    PROJECTOR_REMEDY,
    DistillationLoss,
    require_batch,
    require_same_shape,
    require_teacher,
)
from fdkd_lightning.ops.normalize import standardize
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Output

EPS = 1e-6
WHY = "each channel is standardised over its N * H * W values"


def pkd_loss(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Half the mean squared error of features whose channels are standardised, in float32.

    .. math::
        \frac{1}{2DM} \sum_{d,m} \Big(\frac{s_{dm} - \bar{s}_d}{\mathrm{sd}(s_d) + \epsilon}
        - \frac{t_{dm} - \bar{t}_d}{\mathrm{sd}(t_d) + \epsilon}\Big)^2,
        \quad \epsilon = 10^{-6}

    M = N H W are the values of a channel; of vectors it is the batch alone. The standard deviation
    is that of a sample (divisor M - 1), as in the official code, so that each channel adds
    :math:`(1 - r)(M - 1)/M` with r its Pearson correlation; the paper has 1 - r. A channel that
    is constant up to rounding has no correlation: it counts as zero, with zero gradient, where the
    official code divides the residue by epsilon.

    Args:
        student: The student's features.
        teacher: The teacher's features; they get no gradient.

    Shape:
        - student, teacher: [N, D] or [N, D, H, W], the same, N H W at least 2
        - output: scalar

    Raises:
        ValueError: If the shapes differ, or a channel has one value only.

    Reference:
        Cao et al. 2022 (arXiv 2207.02039); open-mmlab/mmrazor, mmrazor/models/losses/pkd_loss.py.

    Example:
        >>> features = torch.tensor([[1.0, 2.0], [3.0, 8.0], [5.0, 5.0]])
        >>> pkd_loss(features, 10 * features + 7).round(decimals=4)
        tensor(0.)
    """
    require_same_shape("features", student, teacher, PROJECTOR_REMEDY)
    if _values(student) < 2:
        raise ValueError(
            f"features of shape {list(student.shape)} have fewer than 2 values per channel: {WHY}"
        )
    return F.mse_loss(_standardized(student), _standardized(teacher.detach())) / 2


def _values(x: Tensor) -> int:
    return x.numel() // x.shape[1]


def _standardized(x: Tensor) -> Tensor:
    rows = at_least_float32(x).transpose(0, 1).flatten(1)
    # Of unit length first: that tells residue from signal. The rest is the official denominator.
    sd = rows.std(1, keepdim=True)
    return standardize(rows) * (math.sqrt(rows.shape[1] - 1) * sd / (sd + EPS))


class PKDLoss(DistillationLoss):
    """:func:`pkd_loss` of the features as a distillation loss, with the one term ``pkd``.

    Args:
        weight: Factor of the term; 6 is the official one for Faster R-CNN, per level of the
            feature pyramid (10 for RetinaNet).

    Shape:
        - features: [N, D] or [N, D, H, W], the same for both, N H W at least 2

    Raises:
        ValueError: If there is no teacher, the features' shapes differ, or a channel has one value
            only.

    Reference:
        Cao et al. 2022 (arXiv 2207.02039); open-mmlab/mmrazor, mmrazor/models/losses/pkd_loss.py
        and configs/distill/mmdet/pkd.

    Example:
        >>> output = Output(torch.tensor([[1.0, 2.0], [3.0, 8.0]]), torch.zeros(2, 3))
        >>> PKDLoss()(output, output, torch.tensor([0, 1]))
        {'pkd': tensor(0.)}
    """

    def __init__(self, weight: float = 6.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted term."""
        teacher = require_teacher(self, teacher)
        require_batch(self, _values(student.features), 2, WHY)
        return {"pkd": self.weight * pkd_loss(student.features, teacher.features)}
