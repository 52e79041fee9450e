"""What a method must be compared with before its gain is called transfer.

The third control, the teacher taken away, is no class: ``teachers: {}`` leaves of any criterion
the terms that need none, with the same batches, steps and heads.
"""

from typing import Literal

import torch
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, label_or_prediction, require_teacher
from fdkd_lightning.ops.cross_entropy import cross_entropy
from fdkd_lightning.types import Output


class ShuffledPairs(DistillationLoss):
    """A criterion whose teacher saw another sample: the pairs are taken apart.

    What a student still gains cannot come from its own pair. Each sample meets the next one's
    teacher output (of its group, in the order of the batch, which is itself random); the label of
    that sample travels along. A sample that is alone in its group stays with its own.

    Args:
        criterion: The method that is controlled.
        within: ``"all"`` lets any two samples of the batch meet; ``"class"`` only samples of one
            class, where a sample without a label counts as what the teacher takes it for: the
            class stays, everything else about the pair is gone.

    Shape:
        - features, logits, target: as the criterion's; ``"class"`` takes [N] targets alone

    Raises:
        ValueError: If ``within`` is unknown, there is no teacher, or ``"class"`` meets maps.

    Example:
        >>> from fdkd_lightning.losses.feature import FeatureLoss
        >>> student = Output(torch.tensor([[1.0], [2.0]]), torch.zeros(2, 3))
        >>> ShuffledPairs(FeatureLoss())(student, student, torch.tensor([0, 1]))
        {'feature': tensor(1.)}
    """

    def __init__(
        self, criterion: DistillationLoss, within: Literal["all", "class"] = "all"
    ) -> None:
        super().__init__()
        if within not in ("all", "class"):
            raise ValueError(f"within={within!r} is unknown: choose 'all' or 'class'")
        self.criterion = criterion
        self.within = within

    def build(self, student: Output, teacher: Output | None) -> None:
        """Size the criterion."""
        self.criterion.build(student, teacher)

    def set_epoch(self, epoch: int) -> None:
        """Tell the criterion."""
        self.criterion.set_epoch(epoch)

    def single_teacher_only(self) -> bool:
        """Whether the criterion does."""
        return self.criterion.single_teacher_only()

    def warmup_epochs(self) -> int:
        """The criterion's."""
        return self.criterion.warmup_epochs()

    def logged_values(self) -> dict[str, Tensor]:
        """The criterion's."""
        return self.criterion.logged_values()

    def heads(self, student: Output) -> dict[str, Tensor]:
        """The criterion's."""
        return self.criterion.heads(student)

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The criterion's terms for the shuffled pairs."""
        teacher = require_teacher(self, teacher)
        other = next_of_group(self._groups(teacher, target))
        shuffled = Output(
            teacher.features[other],
            teacher.logits[other],
            tuple(stage[other] for stage in teacher.maps),
            None if teacher.index is None else teacher.index[other],
            (target if teacher.label is None else teacher.label)[other],
        )
        terms: dict[str, Tensor] = self.criterion(student, shuffled, target)
        return terms

    def _groups(self, teacher: Output, target: Tensor) -> Tensor:
        if self.within == "all":
            return torch.zeros(len(target), dtype=torch.long, device=target.device)
        if target.ndim != 1:
            raise ValueError(
                f"within='class' needs one class per sample, not a target of shape "
                f"{list(target.shape)}: use within='all'"
            )
        return label_or_prediction(target, teacher)


def next_of_group(group: Tensor) -> Tensor:
    """The position of the next member of each position's group, cyclically.

    Shape:
        - group, output: [N]

    Example:
        >>> next_of_group(torch.tensor([5, 2, 5, 2, 7, 5])).tolist()
        [2, 3, 5, 1, 4, 0]
    """
    order = group.argsort(stable=True)
    ordered = group[order]
    first = order[torch.searchsorted(ordered, ordered)]
    follows = order.roll(-1)
    last = ordered != ordered.roll(-1)
    last[-1] = True
    result = torch.empty_like(order)
    result[order] = torch.where(last, first, follows)
    return result


class LabelSmoothingLoss(DistillationLoss):
    r"""Cross-entropy with smoothed labels: a softer target without any teacher.

    .. math::
        -\sum_k \Big((1 - \epsilon) [k = y] + \frac{\epsilon}{K}\Big) \log \mathrm{softmax}(z)_k

    It stands for the task loss: use it with ``task_weight: null`` and ``teachers: {}``. A teacher,
    if there is one, is not looked at.

    Args:
        smoothing: Epsilon, the share of the target that goes to all classes alike, in [0, 1).

    Shape:
        - logits: [N, K] or [N, K, H, W]
        - target: [N] or [N, H, W]

    Raises:
        ValueError: If ``smoothing`` is out of range.

    Reference:
        C. Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016,
        Section 7.

    Example:
        >>> output = Output(torch.zeros(2, 8), torch.zeros(2, 3))
        >>> LabelSmoothingLoss()(output, None, torch.tensor([0, 1]))
        {'smoothed': tensor(1.0986)}
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing={smoothing} must be in [0, 1), for example 0.1")
        self.smoothing = smoothing

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The smoothed cross-entropy."""
        return {"smoothed": cross_entropy(student.logits, target, self.smoothing)}
