"""AT: attention maps, which show where in the image the stages of a network are active."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.outputs import require_same_batch, stage_map
from fdkd_lightning.ops.checks import check_choice, check_count, check_range, check_weights
from fdkd_lightning.ops.mean import mean
from fdkd_lightning.ops.normalize import l2_normalize
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.scale import in_range
from fdkd_lightning.ops.tensor_checks import check_tensor
from fdkd_lightning.types import Output

Distance = Literal["squared", "norm"]
"""The published implementations' mean squared difference, or the paper's Euclidean norm."""


def at_loss(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    p: float = 2.0,
    distance: Distance = "squared",
) -> Tensor:
    r"""Distance between normalised attention maps, summed over stages, in float32.

    .. math::
        \sum_j \frac{1}{N H_j W_j} \sum_i
        \lVert Q^s_{ij} - Q^t_{ij} \rVert_2^2, \quad
        Q = \frac{q}{\lVert q \rVert_2}, \quad q = \frac{1}{C} \sum_c |A_c|^p

    A is a stage's feature map. In each pair of maps the larger is average-pooled to the smaller,
    separately in height and width: a spectrogram may be wider and less high than an image. The
    official code compares heights only, and pools to a square. As Q does not depend on the scale of
    A, a map whose powers would leave the range of float32 is first divided by a power of 2.

    Args:
        student: The student's maps, one per stage.
        teacher: The teacher's maps, one per stage; they get no gradient.
        p: Power of the activations, at least 1. For an odd power absolute values are taken, as in
            the paper; mdistiller omits them.
        distance: ``"squared"`` is the mean squared difference, as above and in both published
            implementations, for which the default weight is meant; ``"norm"`` is half the
            Euclidean norm of the difference, averaged over the batch (the paper's Eq. 2 without
            beta).

    Shape:
        - student, teacher: [N, C, H, W] each; within a pair, C, H and W may differ
        - output: scalar

    Raises:
        TypeError: If an argument has another type.
        ValueError: If the numbers of maps or of samples differ or are zero, a map is not
            floating-point [N, C, H, W], ``p`` is below 1, or ``distance`` is unknown.

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
            f"the student has {len(student)} maps, the teacher {len(teacher)}: both must have the "
            "same number, at least one. Choose `stages` that both have, or let the models return "
            "their stages' maps: FeatureModel(model, Layers(maps=['layer*']))"
        )
    check_range("p", p, 1, example=2)
    check_choice("distance", distance, get_args(Distance))
    for i, (student_map, teacher_map) in enumerate(zip(student, teacher, strict=True)):
        check_tensor(f"map {i} of the student", student_map, "[N, C, H, W]", 4)
        check_tensor(f"map {i} of the teacher", teacher_map, "[N, C, H, W]", 4)
        require_same_batch(student_map, teacher_map)
    total = torch.zeros((), device=student[0].device)
    for student_map, teacher_map in zip(student, teacher, strict=True):
        height, width = map(min, student_map.shape[2:], teacher_map.shape[2:])
        student_attention = _attention(student_map, (height, width), p)
        difference = student_attention - _attention(teacher_map.detach(), (height, width), p)
        if distance == "norm":
            total = total + mean(torch.linalg.vector_norm(difference, dim=1)) / 2
        else:
            total = total + mean(difference.square())
    return total


def _attention(x: Tensor, size: tuple[int, int], p: float) -> Tensor:
    x = at_least_float32(x)
    x = x if x.shape[2:] == size else F.adaptive_avg_pool2d(x, size)
    return l2_normalize(in_range(x.abs(), p, (1, 2, 3)).pow(p).mean(1).flatten(1))


class ATLoss(DistillationLoss):
    """Distillation loss with the term ``at``: w times :func:`at_loss` of the stages' maps.

    Args:
        p: Power of the activations, at least 1.
        distance: ``"squared"`` (published implementations) or ``"norm"`` (paper); see
            :func:`at_loss`.
        stages: Indices into ``Output.maps``, the same for teacher and student; None compares all
            maps, of which both networks must then have the same number.
        weight: Factor w of the term; mdistiller sets 1000.

    Shape:
        - maps: [N, C, H, W] each, any C, H and W
        - target: not used

    Raises:
        ValueError: If an argument is out of range, there is no teacher, the numbers of maps
            differ, or a stage is missing.

    Example:
        >>> maps = torch.ones(2, 8, 4, 4), torch.ones(2, 16, 2, 2)
        >>> output = Output(torch.ones(2, 16), torch.zeros(2, 3), maps)
        >>> ATLoss(stages=[1])(output, output, torch.tensor([0, 1]))
        {'at': tensor(0.)}
    """

    def __init__(
        self,
        p: float = 2.0,
        distance: Distance = "squared",
        stages: Sequence[int] | None = None,
        weight: float = 1000.0,
    ) -> None:
        super().__init__()
        check_range("p", p, 1, example=2)
        check_choice("distance", distance, get_args(Distance))
        check_weights(weight=weight)
        if stages is not None and not (isinstance(stages, Sequence) and stages):
            raise ValueError(f"stages={stages!r} names no stage: give indices, or None for all")
        for stage in stages or ():
            check_count("stages", stage, None, example=-1)
        self.p = p
        self.distance: Distance = distance
        self.stages = None if stages is None else tuple(stages)
        self.weight = weight

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted term."""
        teacher = require_teacher(self, teacher)
        student_maps, teacher_maps = (
            tuple(
                stage_map(role, output, stage)
                for stage in self.stages or range(max(len(output.maps), 1))
            )
            for role, output in (("student", student), ("teacher", teacher))
        )
        distance = at_loss(student_maps, teacher_maps, self.p, self.distance)
        return {"at": self.weight * distance}
