"""Controls: what a method must be compared with before its gain counts as transfer.

The third control, training without the teacher, needs no class: with ``teachers: {}`` any criterion
computes the terms that need none, with the same batches, steps and heads.
"""

from typing import Literal

import torch
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, label_or_prediction, require_teacher
from fdkd_lightning.losses.outputs import require_same_batch
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.losses.wrapper import WrapperLoss
from fdkd_lightning.ops.checks import check_choice, check_range
from fdkd_lightning.ops.cross_entropy import cross_entropy
from fdkd_lightning.types import Output


class ShuffledPairs(WrapperLoss):
    """Apply a criterion to mismatched pairs: each student sample meets another sample's teacher.

    A gain that remains cannot come from the pairing. Each sample gets the teacher output of the
    next sample in its group, in the order of the batch, which is itself random. The label of that
    sample goes with it. A sample that is alone in its group keeps its teacher output.

    Args:
        criterion: The criterion that is controlled.
        within: ``"all"`` makes one group of the whole batch; ``"class"`` groups samples of the same
            class, where an unlabelled sample counts as the class that the teacher predicts. With
            ``"class"`` the class of a pair stays the same, and everything else is mismatched.

    Shape:
        - features, logits, maps: as the criterion requires
        - target: as the criterion requires; [N] with ``within="class"``

    Raises:
        ValueError: If ``within`` is unknown, or ``"class"`` meets a target of maps.
        TeacherRequiredError: If there is no teacher.

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
        check_choice("within", within, ("all", "class"))
        self.criterion = criterion
        self.within = within

    def wrapped(self) -> dict[str, DistillationLoss]:
        """Return the criterion, without a prefix."""
        return {"": self.criterion}

    def tasks(self) -> tuple[type[Task], ...]:
        """Return the task of groups by class; the criterion states its own."""
        return (OneClassTask,) if self.within == "class" else (Task,)

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Compute the criterion's terms for the mismatched pairs."""
        teacher = require_teacher(self, teacher)
        require_same_batch(student.features, teacher.features)
        for name, x in (("features", teacher.features), ("logits", teacher.logits)):
            if target.shape[:1] != x.shape[:1]:
                raise ValueError(
                    f"target has shape {list(target.shape)}, the teacher's {name} "
                    f"{list(x.shape)}: give one label per sample, -100 for none"
                )
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
    """Return the index of the next sample of the same group, cyclically, for each sample.

    Shape:
        - group, output: [N]

    Example:
        >>> next_of_group(torch.tensor([5, 2, 5, 2, 7, 5])).tolist()
        [2, 3, 5, 1, 4, 0]
    """
    if not len(group):
        return group
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
    r"""Cross-entropy with smoothed labels: a soft target that needs no teacher.

    .. math::
        -\sum_k \Big((1 - \epsilon) [k = y] + \frac{\epsilon}{K}\Big) \log \mathrm{softmax}(z)_k

    It replaces the task loss: use it with ``task_weight: null`` and ``teachers: {}``. The teacher's
    output is ignored. With another criterion, set the module's ``task_loss`` to
    ``torch.nn.CrossEntropyLoss(label_smoothing=0.1)`` instead.

    Args:
        smoothing: Epsilon, the share of the target that is spread evenly over all classes, in
            [0, 1).

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
        check_range("smoothing", smoothing, 0, below=1, example=0.1)
        self.smoothing = smoothing

    def tasks(self) -> tuple[type[Task], ...]:
        """Return the task of a softmax."""
        return (OneClassTask,)

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Compute the smoothed cross-entropy."""
        return {"smoothed": cross_entropy(student.logits, target, self.smoothing)}
