"""RKD: how the samples of a batch lie to each other."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.ops.normalize import l2_normalize
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Output

EPS = 1e-12


def rkd_loss(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    r"""Difference of the samples' distances, and of the angles they form, both in float32.

    .. math::
        \frac{1}{N^2} \sum_{ij} h\Big(\frac{d^s_{ij}}{\mu^s} - \frac{d^t_{ij}}{\mu^t}\Big)
        \quad\text{and}\quad
        \frac{1}{N^3} \sum_{ijk} h\big(\cos \angle^s_{jik} - \cos \angle^t_{jik}\big)

    d is the Euclidean distance, at least 1e-6 between two samples; mu its mean over all pairs of
    two; h is smooth L1 (Huber, from 1). As in the official code the means run over all i, j and k,
    the degenerate pairs and triplets included, which add nothing; the paper sums over the others.
    The official code takes distances from inner products, whose rounding equal samples do not
    survive; here they come from the differences, which the angles need anyway: N^2 D numbers.

    Only relations are compared, so that the networks' widths may differ. One sample has no pair
    and two have always the same relative distance and no triplet: zero, with zero gradient. Samples
    that coincide have zero gradient too.

    Args:
        student: The student's features.
        teacher: The teacher's features; they get no gradient.

    Returns:
        The distance term and the angle term, unweighted.

    Shape:
        - student, teacher: [N, ...], each flattened to vectors of its own length
        - output: two scalars

    Reference:
        Park et al. 2019 (arXiv 1904.05068); lenscloth/RKD, metric/loss.py;
        megvii-research/mdistiller, distillers/RKD.py.

    Example:
        >>> corners = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
        >>> distance, angle = rkd_loss(corners, 10 * corners + 7)
        >>> round(distance.item(), 4), round(angle.item(), 4)
        (0.0, 0.0)
    """
    own, its = _differences(student), _differences(teacher.detach())
    return (
        F.smooth_l1_loss(_distances(own), _distances(its)),
        F.smooth_l1_loss(_cosines(own), _cosines(its)),
    )


def _differences(x: Tensor) -> Tensor:
    """[i, j] is the vector from sample i to sample j."""
    x = at_least_float32(x).flatten(1)
    return x[None] - x[:, None]


def _distances(differences: Tensor) -> Tensor:
    n = len(differences)
    # Where it is clamped the gradient is zero, which the root's, 1 / 2e-6, leaves zero.
    distances = differences.square().sum(2).clamp_min(EPS).sqrt()
    distances = distances.masked_fill(torch.eye(n, dtype=torch.bool, device=distances.device), 0)
    # All others are positive: their mean is that of the pairs, and zero where there are none.
    mean = distances.sum() / max(n * (n - 1), 1)
    return distances / mean.clamp_min(EPS**0.5)


def _cosines(differences: Tensor) -> Tensor:
    directions = l2_normalize(differences, dim=2)
    # Inside autocast the product gives bfloat16.
    with torch.autocast(directions.device.type, enabled=False):
        return directions @ directions.mT


class RKDLoss(DistillationLoss):
    """:func:`rkd_loss` of the features as a distillation loss: terms ``distance`` and ``angle``.

    The official code compares pooled features; dense ones are flattened, at a cost of N^2 D H W
    numbers.

    Args:
        distance_weight: Factor of the distance term; 25 is mdistiller's.
        angle_weight: Factor of the angle term; 50 is mdistiller's.

    Shape:
        - features: [N, D] or [N, D, H, W], any D, H and W

    Raises:
        ValueError: If there is no teacher.

    Reference:
        Park et al. 2019 (arXiv 1904.05068); lenscloth/RKD, metric/loss.py;
        megvii-research/mdistiller, distillers/RKD.py.

    Example:
        >>> output = Output(torch.eye(4), torch.zeros(4, 3))
        >>> RKDLoss()(output, output, torch.tensor([0, 1, 2, 0]))
        {'distance': tensor(0.), 'angle': tensor(0.)}
    """

    def __init__(self, distance_weight: float = 25.0, angle_weight: float = 50.0) -> None:
        super().__init__()
        self.distance_weight = distance_weight
        self.angle_weight = angle_weight

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted terms."""
        teacher = require_teacher(self, teacher)
        distance, angle = rkd_loss(student.features, teacher.features)
        return {"distance": self.distance_weight * distance, "angle": self.angle_weight * angle}
