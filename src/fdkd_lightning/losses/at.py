"""AT: where in the picture the stages of a network are active."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, require_teacher, stage_map
from fdkd_lightning.ops.normalize import l2_normalize
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Output


def at_loss(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    p: float = 2.0,
    distance: Literal["squared", "norm"] = "squared",
) -> Tensor:
    r"""Distance of the normalised attention maps, summed over stages, in float32.

    .. math::
        \sum_j \frac{1}{N H_j W_j} \sum_i
        \lVert Q^s_{ij} - Q^t_{ij} \rVert_2^2, \quad
        Q = \frac{q}{\lVert q \rVert_2}, \quad q = \frac{1}{C} \sum_c |A_c|^p

    Of a pair of maps A the larger is average-pooled to the smaller, height and width each on its
    own: a spectrogram may be wider than a picture and less high. The official code compares
    heights alone, and pools to a square.

    Args:
        student: The student's maps, one per stage.
        teacher: The teacher's maps, as many; they get no gradient.
        p: Power of the activations, at least 1. For odd ones the paper takes absolute values, as
            here; mdistiller does not.
        distance: ``"squared"`` is the mean of the squared differences, as above and in both
            published codes, the default because the weight is made for it; ``"norm"`` is half
            their Euclidean norm, averaged over the batch (the paper's Eq. 2 without beta).

    Shape:
        - student, teacher: [N, C, H, W] each; of a pair, C, H and W may differ
        - output: scalar

    Raises:
        ValueError: If the numbers of maps differ or there are none.

    Reference:
        Zagoruyko and Komodakis 2017 (arXiv 1612.03928), Eq. 2; szagoruyko/attention-transfer,
        cifar.py; megvii-research/mdistiller, distillers/AT.py.

    Example:
        >>> bright = torch.tensor([[[[3.0, 0.0]]]])
        >>> at_loss([bright], [bright.flip(3)])
        tensor(1.)
    """
    if len(student) != len(teacher) or not student:
        raise ValueError(
            f"the student has {len(student)} maps, the teacher {len(teacher)}: they must be "
            "equally many, at least one. Choose `stages` that both have, or let the models return "
            "their stages' maps"
        )
    total = torch.zeros((), device=student[0].device)
    for own, its in zip(student, teacher, strict=True):
        size = (min(own.shape[2], its.shape[2]), min(own.shape[3], its.shape[3]))
        difference = _attention(own, size, p) - _attention(its.detach(), size, p)
        if distance == "norm":
            total = total + torch.linalg.vector_norm(difference, dim=1).mean() / 2
        else:
            total = total + difference.square().mean()
    return total


def _attention(x: Tensor, size: tuple[int, int], p: float) -> Tensor:
    x = at_least_float32(x)
    x = x if x.shape[2:] == size else F.adaptive_avg_pool2d(x, size)
    return l2_normalize(x.abs().pow(p).mean(1).flatten(1))


class ATLoss(DistillationLoss):
    """:func:`at_loss` of the stages' maps as a distillation loss, with the one term ``at``.

    Args:
        p: Power of the activations, at least 1.
        distance: ``"squared"`` (published codes) or ``"norm"`` (paper); see :func:`at_loss`.
        stages: Which of ``Output.maps`` are compared, the same of teacher and student; None: all,
            which must then be equally many.
        weight: Factor of the term; 1000 is mdistiller's.

    Shape:
        - maps: [N, C, H, W] each, any C, H and W

    Raises:
        ValueError: If an option is out of range, there is no teacher, the numbers of maps differ,
            or one of the stages is missing.

    Reference:
        Zagoruyko and Komodakis 2017 (arXiv 1612.03928), Eq. 2; szagoruyko/attention-transfer,
        cifar.py; megvii-research/mdistiller, distillers/AT.py.

    Example:
        >>> maps = torch.ones(2, 8, 4, 4), torch.ones(2, 16, 2, 2)
        >>> output = Output(torch.ones(2, 16), torch.zeros(2, 3), maps)
        >>> ATLoss(stages=[1])(output, output, torch.tensor([0, 1]))
        {'at': tensor(0.)}
    """

    def __init__(
        self,
        p: float = 2.0,
        distance: Literal["squared", "norm"] = "squared",
        stages: Sequence[int] | None = None,
        weight: float = 1000.0,
    ) -> None:
        super().__init__()
        if p < 1:
            raise ValueError(f"p={p} must be at least 1, for example 2")
        if distance not in ("squared", "norm"):
            raise ValueError(f"distance={distance!r} is unknown: choose 'squared' or 'norm'")
        if stages is not None and not stages:
            raise ValueError(f"stages={stages} names no stage: give their numbers, or None for all")
        self.p = p
        self.distance: Literal["squared", "norm"] = distance
        self.stages = None if stages is None else tuple(stages)
        self.weight = weight

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted term."""
        teacher = require_teacher(self, teacher)
        own, its = (
            tuple(
                stage_map(role, output, stage)
                for stage in self.stages or range(max(len(output.maps), 1))
            )
            for role, output in (("student", student), ("teacher", teacher))
        )
        return {"at": self.weight * at_loss(own, its, self.p, self.distance)}
