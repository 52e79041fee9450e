"""AFD: attention decides which of the student's stages learns from which of the teacher's."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdkd_lightning.losses.base import (
    DistillationLoss,
    require_batch,
    require_teacher,
    stage_map,
)
from fdkd_lightning.ops.normalize import l2_normalize
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Output


def attention_distances(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    r"""How far each student stage is from each teacher stage in where it is active, in float32.

    .. math::
        \Delta_{its} = \frac{1}{HW} \big\lVert v^t_i - v^s_i \big\rVert_2^2, \quad
        v = \frac{\mathrm{vec}(a)}{\lVert a \rVert_2}, \quad a = \frac{1}{C} \sum_c f_c^2

    where the student's a is first pooled (adaptively averaged) to the teacher stage's H and W; to
    a larger teacher stage it is spread, each value repeated. A map that is zero everywhere stays
    the zero vector.

    Args:
        student: The student's maps.
        teacher: The teacher's maps; they get no gradient.

    Shape:
        - student: S maps of shape [N, C, H, W], each with its own C, H and W
        - teacher: T maps, likewise
        - output: [N, T, S]

    Raises:
        RuntimeError: If a list is empty or the batch sizes differ.

    Reference:
        Ji et al. (arXiv 2102.02973); clovaai/attention-feature-distillation, distill/AFD.py
        (Sample, cal_diff).

    Example:
        >>> maps = [torch.ones(2, 4, 8, 8), torch.ones(2, 6, 4, 4), torch.ones(2, 8, 2, 2)]
        >>> attention_distances(maps, maps[:2]).shape
        torch.Size([2, 2, 3])
    """
    activities = [_activity(stage) for stage in student]
    rows = []
    for stage in teacher:
        activity = _activity(stage.detach())
        value = l2_normalize(activity.flatten(1))
        height, width = activity.shape[2:]
        pooled = [F.adaptive_avg_pool2d(a, (height, width)).flatten(1) for a in activities]
        own = l2_normalize(torch.stack(pooled, 1), dim=2)
        rows.append((own - value.unsqueeze(1)).square().mean(2))
    return torch.stack(rows, 1)


class AFDLoss(DistillationLoss):
    r"""Attention-based feature distillation: all pairs of stages, weighted by how they match.

    .. math::
        w \sum_t \frac{1}{N} \sum_i \sum_s \alpha_{its} \, \Delta_{its}, \quad
        \alpha_{it} = \mathrm{softmax}_s
        \frac{q_{it}^\top k_{its} + p_t^\top p_s}{\sqrt{d}}

    with :func:`attention_distances` and, GAP being the mean over H and W,
    :math:`q_t = \mathrm{BN}(\mathrm{Lin}_t(\mathrm{GAP}(f^t)))` and
    :math:`(k_{1s}, \dots, k_{Ts}) = \mathrm{BN}(\mathrm{Lin}(\mathrm{ReLU}(\mathrm{BN}(
    \mathrm{Lin}_s(\mathrm{GAP}(f^s))))))`: a key for each of the teacher's stages, by layers
    that the student's stages share, in whose BN all N S of them are one batch. The p are learnt
    positions. Student and teacher may have different numbers of stages.

    The term is ``afd``. Its minimum over the attention is the nearest stage's distance, which
    equal networks need not reach. The official total also has 0.9 times KD with T = 4: compose
    it, as ``CompositeLoss({"afd": AFDLoss(), "kd": KDLoss(4.0, weight=0.9)})``. The official
    code takes a map per block, here it is one per stage, whatever ``Output.maps`` hold.

    Args:
        size: d, the size of queries and keys; officially 128.
        weight: Factor w of the term; officially 200.

    Shape:
        - maps: [N, C, H, W] each, in any number; N is at least 2 in training. Logits and target
          are not used

    Raises:
        ValueError: If ``size`` is not above 0, there is no teacher, a network has no maps, or
            BN meets a batch of one.
        RuntimeError: If it is called before :meth:`build`.

    Reference:
        Ji et al., "Show, Attend and Distill: Knowledge Distillation via Attention-based Feature
        Matching" (arXiv 2102.02973); clovaai/attention-feature-distillation, distill/AFD.py, and
        main.py for d, the weight and KD.

    Example:
        >>> maps = torch.ones(2, 4, 8, 8), torch.ones(2, 6, 4, 4)
        >>> student = Output(torch.zeros(2, 8), torch.zeros(2, 3), maps)
        >>> teacher = student._replace(maps=maps[:1])
        >>> loss = AFDLoss()
        >>> loss.build(student, teacher)
        >>> round(loss(student, teacher, torch.tensor([0, 1]))["afd"].item(), 4)
        0.0
    """

    attention: nn.Module | None

    def __init__(self, size: int = 128, weight: float = 200.0) -> None:
        super().__init__()
        if size <= 0:
            raise ValueError(f"size={size} must be above 0, for example 128")
        self.size = size
        self.weight = weight
        self.attention = None

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the layers of queries and keys for the channels of all stages."""
        teacher = require_teacher(self, teacher)
        own, its = (
            [stage.shape[1] for stage in _maps(role, output)]
            for role, output in (("student", student), ("teacher", teacher))
        )
        if self.attention is None:
            self.attention = _Attention(own, its, self.size)

    def single_teacher_only(self) -> bool:
        """It does: its queries and positions are of that one's stages."""
        return True

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted term."""
        teacher = require_teacher(self, teacher)
        own = _maps("student", student)
        its = [stage.detach() for stage in _maps("teacher", teacher)]
        if self.attention is None:
            raise RuntimeError(
                "AFDLoss has no attention yet: call build(student, teacher) with the outputs of "
                "a batch before the first forward"
            )
        if self.training:
            why = "BatchNorm over a batch of one has nothing to normalise by"
            require_batch(self, len(own[0]), 2, why)
        distances = attention_distances(own, its)
        attention = self.attention(own, its).to(distances.dtype)
        return {"afd": self.weight * (attention * distances).sum((1, 2)).mean()}


def _activity(stage: Tensor) -> Tensor:
    """Mean square over the channels, [N, 1, H, W]."""
    return at_least_float32(stage).square().mean(1, keepdim=True)


def _maps(role: str, output: Output) -> tuple[Tensor, ...]:
    # At least the first, for the error where there are none.
    return tuple(stage_map(role, output, i) for i in range(max(len(output.maps), 1)))


def _normed(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs))


class _Attention(nn.Module):
    """The weights alpha [N, T, S], which are 1 in sum over S."""

    def __init__(self, student: list[int], teacher: list[int], size: int) -> None:
        super().__init__()
        self.queries = nn.ModuleList(_normed(channels, size) for channels in teacher)
        self.keys = nn.ModuleList(_normed(channels, size).append(nn.ReLU()) for channels in student)
        self.shared = _normed(size, size * len(teacher))
        self.student_positions, self.teacher_positions = (
            nn.Parameter(nn.init.xavier_normal_(torch.empty(len(stages), size)))
            for stages in (student, teacher)
        )

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        queries = self._each(self.queries, teacher)  # [N, T, d]
        keys = self._each(self.keys, student)  # [N, S, d]
        n, s, d = keys.shape
        keys = self.shared(keys.flatten(0, 1)).view(n, s, -1, d)
        score = torch.einsum("nstd,ntd->nts", keys, queries)
        score = score + self.teacher_positions @ self.student_positions.T
        score = at_least_float32(score)
        return torch.softmax(score / d**0.5, dim=2)

    def _each(self, layers: nn.ModuleList, maps: Sequence[Tensor]) -> Tensor:
        means = (at_least_float32(stage).mean((2, 3)) for stage in maps)
        dtype = self.student_positions.dtype
        return torch.stack(
            [layer(mean.to(dtype)) for layer, mean in zip(layers, means, strict=True)], 1
        )
