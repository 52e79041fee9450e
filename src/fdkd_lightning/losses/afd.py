"""AFD: attention weights the pairs of a student's and a teacher's stages."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.outputs import require_batch, require_same_batch, stage_map
from fdkd_lightning.ops.checks import check_count, check_weights
from fdkd_lightning.ops.mean import mean
from fdkd_lightning.ops.normalize import l2_normalize
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.scale import in_range
from fdkd_lightning.ops.tensor_checks import check_tensor
from fdkd_lightning.types import Output


def attention_distances(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    r"""Distances between the activity maps of all pairs of student and teacher stages, in float32.

    .. math::
        \Delta_{its} = \frac{1}{HW} \big\lVert v^t_i - v^s_i \big\rVert_2^2, \quad
        v = \frac{\mathrm{vec}(a)}{\lVert a \rVert_2}, \quad a = \frac{1}{C} \sum_c f_c^2

    The student's a is first average-pooled (adaptively) to the teacher stage's H and W; for a
    larger teacher stage its values are repeated. A map of zeros stays the zero vector.

    Args:
        student: The student's maps.
        teacher: The teacher's maps; they get no gradient.

    Shape:
        - student: S maps [N, C, H, W], each with its own C, H and W
        - teacher: T maps [N, C, H, W], each with its own C, H and W
        - output: [N, T, S]

    Raises:
        TypeError: If a map is no tensor.
        ValueError: If a list is empty, a map is not floating-point [N, C, H, W], or the numbers of
            samples differ.

    Reference:
        Ji et al. (arXiv 2102.02973); clovaai/attention-feature-distillation, distill/AFD.py
        (Sample, cal_diff).

    Example:
        >>> maps = [torch.ones(2, 4, 8, 8), torch.ones(2, 6, 4, 4), torch.ones(2, 8, 2, 2)]
        >>> attention_distances(maps, maps[:2]).shape
        torch.Size([2, 2, 3])
    """
    if not student or not teacher:
        raise ValueError(
            f"the student has {len(student)} maps, the teacher {len(teacher)}: give at least one "
            "map of each"
        )
    for role, maps in (("student", student), ("teacher", teacher)):
        for i, stage in enumerate(maps):
            check_tensor(f"map {i} of the {role}", stage, "[N, C, H, W]", 4)
            require_same_batch(student[0], stage)
    student_activities = [_activity(stage) for stage in student]
    rows = []
    for stage in teacher:
        activity = _activity(stage.detach())
        height, width = activity.shape[2:]
        pooled = [F.adaptive_avg_pool2d(a, (height, width)).flatten(1) for a in student_activities]
        student_v = l2_normalize(torch.stack(pooled, 1), dim=2)
        teacher_v = l2_normalize(activity.flatten(1)).unsqueeze(1)
        rows.append((student_v - teacher_v).square().mean(2))
    return torch.stack(rows, 1)


class AFDLoss(DistillationLoss):
    r"""Attention-based feature distillation over all pairs of stages.

    .. math::
        w \sum_t \frac{1}{N} \sum_i \sum_s \alpha_{its} \, \Delta_{its}, \quad
        \alpha_{it} = \mathrm{softmax}_s
        \frac{q_{it}^\top k_{its} + p_t^\top p_s}{\sqrt{d}}

    with Delta from :func:`attention_distances`. GAP is the mean over H and W,
    :math:`q_t = \mathrm{BN}(\mathrm{Lin}_t(\mathrm{GAP}(f^t)))` and
    :math:`(k_{1s}, \dots, k_{Ts}) = \mathrm{BN}(\mathrm{Lin}(\mathrm{ReLU}(\mathrm{BN}(
    \mathrm{Lin}_s(\mathrm{GAP}(f^s))))))`: one key per teacher stage. The outer linear layer and BN
    are shared by the student's stages; that BN normalises over all N S keys. The p are learned
    position embeddings. Student and teacher may have different numbers of stages.

    The term is ``afd``. It is zero only if the attention selects a stage with distance zero, so
    equal networks need not have a loss of zero. The official total adds KD with T = 4 and weight
    0.9: ``CompositeLoss({"afd": AFDLoss(), "kd": KDLoss(4.0, weight=0.9)})``. The official code
    uses one map per block; here it is one per entry of ``Output.maps``, usually per stage.

    It costs some percent of a ResNet-18's step at batch 64: the channels of all maps are squared,
    averaged and differentiated, and the first stages' are large.

    Args:
        size: d, the size of queries and keys; the official code sets 128.
        weight: Factor w of the term; the official code sets 200.

    Shape:
        - maps: [N, C, H, W] each, any number of them; in training N is at least 2
        - logits, target: not used

    Raises:
        ValueError: If ``size`` is below 1, the weight negative or not finite, there is no teacher,
            a network has no maps, or a batch of one is given in training (BatchNorm).
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

    attention: "_Attention | None"

    def __init__(self, size: int = 128, weight: float = 200.0) -> None:
        super().__init__()
        check_count("size", size, example=128)
        check_weights(weight=weight)
        self.size = size
        self.weight = weight
        self.attention = None

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the query and key layers for the channels of all stages."""
        teacher = require_teacher(self, teacher)
        student_channels, teacher_channels = (
            [stage.shape[1] for stage in _maps(role, output)]
            for role, output in (("student", student), ("teacher", teacher))
        )
        if self.attention is None:
            self.attention = _Attention(student_channels, teacher_channels, self.size)

    def single_teacher_only(self) -> bool:
        """Return True: queries and positions belong to the teacher's stages."""
        return True

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted term."""
        teacher = require_teacher(self, teacher)
        student_maps = _maps("student", student)
        teacher_maps = [stage.detach() for stage in _maps("teacher", teacher)]
        if self.attention is None:
            raise RuntimeError(
                "AFDLoss has no attention yet: call build(student, teacher) with the outputs of "
                "a batch before the first forward"
            )
        if self.training:
            why = "BatchNorm needs more than one value per channel"
            require_batch(self, len(student_maps[0]), 2, why)
        for role, found, layers in (
            ("student", student_maps, self.attention.keys),
            ("teacher", teacher_maps, self.attention.queries),
        ):
            _check_channels(role, found, layers)
        distances = attention_distances(student_maps, teacher_maps)
        attention = self.attention(student_maps, teacher_maps).to(distances.dtype)
        return {"afd": self.weight * mean((attention * distances).sum((1, 2)))}


def _activity(stage: Tensor) -> Tensor:
    """Mean square over the channels: [N, C, H, W] -> [N, 1, H, W]."""
    return in_range(at_least_float32(stage), 2, (1, 2, 3)).square().mean(1, keepdim=True)


def _maps(role: str, output: Output) -> tuple[Tensor, ...]:
    # Ask for one map at least, so that a network without maps is an error.
    return tuple(stage_map(role, output, i) for i in range(max(len(output.maps), 1)))


def _check_channels(role: str, maps: Sequence[Tensor], layers: nn.ModuleList) -> None:
    channels = [stage.shape[1] for stage in maps]
    parts = (part for layer in layers for part in layer.children())
    built = [part.in_features for part in parts if isinstance(part, nn.Linear)]
    if channels != built:
        raise ValueError(
            f"the {role}'s maps have {channels} channels, but AFDLoss was built for {built}: give "
            "maps of the same stages"
        )


def _normed(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs))


class _Attention(nn.Module):
    """Attention weights alpha [N, T, S], a softmax over S."""

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
        score = at_least_float32(score + self.teacher_positions @ self.student_positions.T)
        return torch.softmax(score / d**0.5, dim=2)

    def _each(self, layers: nn.ModuleList, maps: Sequence[Tensor]) -> Tensor:
        means = (at_least_float32(stage).mean((2, 3)) for stage in maps)
        dtype = self.student_positions.dtype
        return torch.stack(
            [layer(mean.to(dtype)) for layer, mean in zip(layers, means, strict=True)], 1
        )
