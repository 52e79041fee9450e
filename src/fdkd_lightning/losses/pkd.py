"""PKD: features whose channels are standardised, which compares them by Pearson correlation."""

import math
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.outputs import PROJECTOR_REMEDY, require_batch, require_same_shape
from fdkd_lightning.ops.checks import check_choice, check_weights
from fdkd_lightning.ops.normalize import standardize
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.tensor_checks import check_tensor
from fdkd_lightning.types import Output

Resize = Literal["student", "teacher"]
"""The network whose maps are resized to the other's height and width."""

EPS = 1e-6
ONE_VALUE = "each channel is standardised over its N * H * W values"


def pkd_loss(student: Tensor, teacher: Tensor, resize: Resize | None = None) -> Tensor:
    r"""Half the mean squared error of features with standardised channels, in float32.

    .. math::
        \frac{1}{2DM} \sum_{d,m} \Big(\frac{s_{dm} - \bar{s}_d}{\mathrm{sd}(s_d) + \epsilon}
        - \frac{t_{dm} - \bar{t}_d}{\mathrm{sd}(t_d) + \epsilon}\Big)^2,
        \quad \epsilon = 10^{-6}

    A channel has M = N H W values, or M = N for vectors. The standard deviation has the divisor
    M - 1, as in the official code, so each channel contributes :math:`(1 - r)(M - 1)/M`, where r
    is its Pearson correlation; in the paper it is 1 - r. A channel that is constant up to rounding
    has no correlation: it is set to zero, with zero gradient, where the official code divides the
    rounding residue by epsilon.

    Args:
        student: The student's features.
        teacher: The teacher's features; they get no gradient.
        resize: Whose maps are resized bilinearly if heights or widths differ: ``"student"``
            (``resize_stu=True`` of the official code, its default) or ``"teacher"``
            (``resize_stu=False``). None: different sizes are an error. The official code compares
            heights only, and resizes without antialiasing, as here.

    Shape:
        - student, teacher: [N, D] or [N, D, H, W], N H W at least 2; the same, except for H and W
          with ``resize``
        - output: scalar

    Raises:
        TypeError: If an argument is no tensor.
        ValueError: If features are not floating-point, the shapes differ, a channel has only one
            value, or ``resize`` is unknown.

    Reference:
        Cao et al. 2022 (arXiv 2207.02039); open-mmlab/mmrazor, mmrazor/models/losses/pkd_loss.py.

    Example:
        >>> import torch
        >>> features = torch.tensor([[1.0, 2.0], [3.0, 8.0], [5.0, 5.0]])
        >>> pkd_loss(features, 10 * features + 7).round(decimals=4)
        tensor(0.)
    """
    check_choice("resize", resize, (*get_args(Resize), None))
    if resize is not None:
        student, teacher = _resized(student, teacher, resize)
    require_same_shape("features", student, teacher, PROJECTOR_REMEDY)
    if _values_per_channel(student) < 2:
        raise ValueError(
            f"features of shape {list(student.shape)} have fewer than 2 values per channel: "
            f"{ONE_VALUE}"
        )
    return F.mse_loss(_standardized(student), _standardized(teacher.detach())) / 2


def _values_per_channel(x: Tensor) -> int:
    return x.numel() // x.shape[1] if x.ndim > 1 and x.shape[1] else 0


def _resized(student: Tensor, teacher: Tensor, resize: Resize) -> tuple[Tensor, Tensor]:
    for role, x in (("student", student), ("teacher", teacher)):
        check_tensor(f"the {role}'s features", x, "[N, D, H, W] to resize, or [N, D]", 2, 4)
    if student.ndim != teacher.ndim or student.shape[2:] == teacher.shape[2:]:
        return student, teacher
    if resize == "student":
        return F.interpolate(student, teacher.shape[2:], mode="bilinear"), teacher
    return student, F.interpolate(teacher, student.shape[2:], mode="bilinear")


def _standardized(x: Tensor) -> Tensor:
    rows = at_least_float32(x).transpose(0, 1).flatten(1)
    # Unit length first, which sets rounding residue to zero; the factor then restores the official
    # denominator.
    sd = rows.std(1, keepdim=True)
    return standardize(rows) * (math.sqrt(rows.shape[1] - 1) * sd / (sd + EPS))


class PKDLoss(DistillationLoss):
    """Distillation loss with the term ``pkd``: w times :func:`pkd_loss` of the features.

    Args:
        weight: Factor w of the term. The official code sets 6 for Faster R-CNN (10 for RetinaNet)
            at each level of the feature pyramid.
        resize: Whose maps are resized if sizes differ; see :func:`pkd_loss`.

    Shape:
        - features: [N, D] or [N, D, H, W], N H W at least 2; the same for both, except for H and W
          with ``resize``
        - target: not used

    Raises:
        ValueError: If an argument is out of range, there is no teacher, the features' shapes
            differ, or a channel has only one value.

    Reference:
        Cao et al. 2022 (arXiv 2207.02039); open-mmlab/mmrazor, mmrazor/models/losses/pkd_loss.py
        and configs/distill/mmdet/pkd.

    Example:
        >>> import torch
        >>> output = Output(torch.tensor([[1.0, 2.0], [3.0, 8.0]]), torch.zeros(2, 3))
        >>> PKDLoss()(output, output, torch.tensor([0, 1]))
        {'pkd': tensor(0.)}
    """

    def __init__(self, weight: float = 6.0, resize: Resize | None = None) -> None:
        super().__init__()
        check_weights(weight=weight)
        check_choice("resize", resize, (*get_args(Resize), None))
        self.resize = resize
        self.weight = weight

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted term."""
        teacher = require_teacher(self, teacher)
        require_batch(self, _values_per_channel(student.features), 2, ONE_VALUE)
        return {"pkd": self.weight * pkd_loss(student.features, teacher.features, self.resize)}
