"""RKD: distances and angles between the samples of a batch."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.outputs import require_same_batch
from fdkd_lightning.ops.checks import check_flags, check_weights
from fdkd_lightning.ops.normalize import l2_normalize
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Output

EPS = 1e-12


def rkd_loss(student: Tensor, teacher: Tensor, squared: bool = False) -> tuple[Tensor, Tensor]:
    r"""Differences of the samples' relative distances and of the angles they form, in float32.

    .. math::
        \frac{1}{N^2} \sum_{ij} h\Big(\frac{d^s_{ij}}{\mu^s} - \frac{d^t_{ij}}{\mu^t}\Big)
        \quad\text{and}\quad
        \frac{1}{N^3} \sum_{ijk} h\big(\cos \angle^s_{jik} - \cos \angle^t_{jik}\big)

    d is the Euclidean distance, at least 1e-6 for two different samples, and mu its mean over all
    pairs; h is the smooth L1 (Huber) loss with threshold 1. As in the official code the means run
    over all i, j and k, including degenerate pairs and triplets, which contribute zero; the paper
    sums over the others only. The official code computes distances from inner products, which is
    inaccurate for nearly equal samples. Here they are norms of the differences, which the angles
    need anyway: N^2 D numbers.

    Only relations are compared, so the networks' widths may differ. A batch of one has no pair;
    a batch of two always has the same relative distance and no triplet: both terms are then zero,
    with zero gradient. Samples that coincide have zero gradient, too.

    Args:
        student: The student's features.
        teacher: The teacher's features; they get no gradient.
        squared: Compare squared distances, ``pdist(squared=True)`` of the official code; d is then
            the squared distance, at least 1e-12, and mu its mean.

    Returns:
        The distance term and the angle term, unweighted.

    Shape:
        - student, teacher: [N, ...], each flattened to vectors; their lengths may differ
        - output: two scalars

    Raises:
        TypeError: If an argument has another type.
        ValueError: If features are not floating-point, or the numbers of samples differ.

    Reference:
        Park et al. 2019 (arXiv 1904.05068); lenscloth/RKD, metric/loss.py and utils.py (pdist);
        megvii-research/mdistiller, distillers/RKD.py.

    Example:
        >>> corners = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
        >>> distance, angle = rkd_loss(corners, 10 * corners + 7)
        >>> round(distance.item(), 4), round(angle.item(), 4)
        (0.0, 0.0)
    """
    check_flags(squared=squared)
    require_same_batch(student, teacher)
    student, teacher = _differences(student), _differences(teacher.detach())
    if not len(student):
        return student.sum(), student.sum()
    return (
        F.smooth_l1_loss(_distances(student, squared), _distances(teacher, squared)),
        F.smooth_l1_loss(_cosines(student), _cosines(teacher)),
    )


def _differences(x: Tensor) -> Tensor:
    """Vectors from sample i to sample j: [N, ...] -> [N, N, D]."""
    x = at_least_float32(x)
    x = x.unsqueeze(1) if x.ndim == 1 else x.flatten(1)
    return x[None] - x[:, None]


def _distances(differences: Tensor, squared: bool) -> Tensor:
    n = len(differences)
    # A clamped element has zero gradient; the root's factor there, 1 / 2e-6, is finite.
    distances = differences.square().sum(2).clamp_min(EPS)
    distances = distances if squared else distances.sqrt()
    distances = distances.masked_fill(torch.eye(n, dtype=torch.bool, device=distances.device), 0)
    # The mean over pairs of different samples; zero if there are none.
    mean = distances.sum() / max(n * (n - 1), 1)
    return distances / mean.clamp_min(EPS if squared else EPS**0.5)


def _cosines(differences: Tensor) -> Tensor:
    directions = l2_normalize(differences, dim=2)
    # Autocast would compute the product in bf16.
    with torch.autocast(directions.device.type, enabled=False):
        return directions @ directions.mT


class RKDLoss(DistillationLoss):
    """Distillation loss with the terms ``distance`` and ``angle`` of :func:`rkd_loss`.

    The official code compares pooled features. Dense features are flattened here, which takes
    N^2 D H W numbers of memory.

    Args:
        distance_weight: Factor of the distance term; mdistiller sets 25.
        angle_weight: Factor of the angle term; mdistiller sets 50.
        squared: Compare squared distances; see :func:`rkd_loss`.

    Shape:
        - features: [N, D] or [N, D, H, W], any D, H and W
        - target: not used

    Raises:
        ValueError: If a weight is negative or not finite, or there is no teacher.

    Example:
        >>> output = Output(torch.eye(4), torch.zeros(4, 3))
        >>> RKDLoss()(output, output, torch.tensor([0, 1, 2, 0]))
        {'distance': tensor(0.), 'angle': tensor(0.)}
    """

    def __init__(
        self, distance_weight: float = 25.0, angle_weight: float = 50.0, squared: bool = False
    ) -> None:
        super().__init__()
        check_weights(distance_weight=distance_weight, angle_weight=angle_weight)
        check_flags(squared=squared)
        self.squared = squared
        self.distance_weight = distance_weight
        self.angle_weight = angle_weight

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms."""
        teacher = require_teacher(self, teacher)
        distance, angle = rkd_loss(student.features, teacher.features, self.squared)
        return {"distance": self.distance_weight * distance, "angle": self.angle_weight * angle}
