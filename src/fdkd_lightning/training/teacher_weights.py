"""How much each of several teachers counts in the average of what they teach."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from fdkd_lightning.losses.alignment import scores_at
from fdkd_lightning.ops.cross_entropy import cross_entropy_sum
from fdkd_lightning.ops.distributed import sum_over_ranks
from fdkd_lightning.training.pairs import Pair


class TeacherWeights(nn.Module, ABC):
    r"""The weights of :math:`L = \sum_m w_m L_m`, with :math:`L_m` all terms of teacher m.

    A teacher that has nothing to teach in a step (its pair is None) adds nothing, and what the
    others weigh does not depend on it. Without weights each has 1/M.

    Example:
        >>> class First(TeacherWeights):
        ...     def forward(self, pairs):
        ...         return {m: float(i == 0) for i, m in enumerate(pairs)}
        >>> First()({"audio": None, "text": None})
        {'audio': 1.0, 'text': 0.0}
    """

    def build(self, teachers: Collection[str]) -> None:
        """Be told the teachers' modalities, before optimizers exist.

        Never called without a teacher: the teacher-free control has nothing to weigh.
        """

    @abstractmethod
    def forward(self, pairs: Mapping[str, Pair | None]) -> Mapping[str, float | Tensor]:
        """Each teacher's weight in this step, the same in all processes.

        Args:
            pairs: Modality -> the student with that teacher; None: it teaches nothing now.
        """

    def terms(self, pairs: Mapping[str, Pair | None]) -> dict[str, Tensor]:
        """What the weights themselves add to the loss, by name."""
        return {}

    def logged_values(self) -> dict[str, Tensor]:
        """The weights where they change, to be logged: ``weight/<modality>`` -> scalar."""
        return {}


class FixedWeights(TeacherWeights):
    """Constant weights, by whose ratio the teachers count.

    Args:
        weights: Modality of each teacher -> number, 0 or above; they are divided by their sum.

    Raises:
        ValueError: If a weight is negative or all are 0, or by :meth:`build` if the modalities are
            not those of the teachers.

    Example:
        >>> FixedWeights({"audio": 3, "text": 1})({"audio": None, "text": None})
        {'audio': 0.75, 'text': 0.25}
    """

    def __init__(self, weights: dict[str, float]) -> None:
        super().__init__()
        if any(weight < 0 for weight in weights.values()) or not sum(weights.values()) > 0:
            raise ValueError(
                f"weights={weights} must be 0 or above, and one of them above: for example "
                "{audio: 2, text: 1}"
            )
        self.weights = {name: weight / sum(weights.values()) for name, weight in weights.items()}

    def build(self, teachers: Collection[str]) -> None:
        """See that each teacher has its weight."""
        if self.weights.keys() != set(teachers):
            raise ValueError(
                f"weights names {', '.join(self.weights)}, and the teachers are "
                f"{', '.join(teachers)}: give each of these a weight, and no other"
            )

    def forward(self, pairs: Mapping[str, Pair | None]) -> Mapping[str, float | Tensor]:
        """The weights, whatever the batch."""
        return {modality: self.weights[modality] for modality in pairs}


class LearnedWeights(TeacherWeights):
    r"""Weights that are learned along, as the uncertainty of each teacher's losses.

    .. math::
        L = \frac{1}{M} \sum_m \big( e^{-s_m} L_m + s_m \big)

    with one :math:`s_m = \log \sigma_m^2` per teacher. All start at 0, where L is the plain average
    of the teachers; for a given :math:`L_m > 0` the best is :math:`e^{-s_m} = 1 / L_m`. So a
    teacher that is easily followed counts more, which says nothing of how good it is; and the
    terms are brought to about 1 in all, whatever their own weights are and however large the
    task's loss is. The mean of the s is the term ``uncertainty``, which may be negative; the
    weights :math:`e^{-s_m} / M` are logged. A teacher that teaches nothing in a step leaves its s
    alone.

    The s are trained by the module's optimizer: its weight decay pulls them back to 0, and they
    move by its learning rate. They are saved in the checkpoint.

    Reference:
        A. Kendall, Y. Gal, R. Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for
        Scene Geometry and Semantics", CVPR 2018, Section 3.2: the objective for two regressions,
        times 2, with teachers in place of tasks.

    Example:
        >>> weights = LearnedWeights()
        >>> weights.build(["audio", "text"])
        >>> weights.logged_values()
        {'weight/audio': tensor(0.5000), 'weight/text': tensor(0.5000)}
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_variance = nn.ParameterDict()

    def build(self, teachers: Collection[str]) -> None:
        """Create one s per teacher."""
        for modality in teachers:
            if modality not in self.log_variance:
                self.log_variance[modality] = nn.Parameter(torch.zeros(()))

    def forward(self, pairs: Mapping[str, Pair | None]) -> Mapping[str, float | Tensor]:
        """The weights, with gradients."""
        return {m: (-self.log_variance[m]).exp() / len(pairs) for m in pairs}

    def terms(self, pairs: Mapping[str, Pair | None]) -> dict[str, Tensor]:
        """The regulariser, without which all weights would go to 0."""
        found = [self.log_variance[m] for m, pair in pairs.items() if pair is not None]
        return {"uncertainty": torch.stack(found).sum() / len(pairs)} if found else {}

    def logged_values(self) -> dict[str, Tensor]:
        """The weights as they are."""
        count = len(self.log_variance)
        return {f"weight/{m}": (-s.detach()).exp() / count for m, s in self.log_variance.items()}


class ConfidenceWeights(TeacherWeights):
    r"""In each batch those teachers count more that are right about its labels.

    .. math::
        w_m = \frac{1}{M - 1} \Big( 1 - \frac{e^{C_m}}{\sum_j e^{C_j}} \Big)

    with :math:`C_m` the cross-entropy of teacher m on the labelled samples of the batch, of all
    processes together. The weights have no gradient and sum to 1. The published method weighs
    sample by sample; here a batch has one weight per teacher, which all its samples get, those
    without a label too, as a criterion gives scalars. Its second part, weights for features, is
    left out.

    One teacher has weight 1. Where a teacher's pairs hold no label there is nothing to compare,
    and all count alike: in a batch without labels this is the plain average. Among M teachers of
    which k have something to teach, these k are weighed by the formula, and the weights times
    k / M. Labels say most where a teacher has not learned them by heart: on its own training data
    every teacher is confident.

    Reference:
        H. Zhang, D. Chen, C. Wang, "Confidence-Aware Multi-Teacher Knowledge Distillation", ICASSP
        2022 (arXiv 2201.00007); Rorozhl/CA-MKD, distiller_zoo/CAMKD.py.

    Example:
        >>> from fdkd_lightning.types import Output
        >>> features, target = torch.zeros(2, 4), torch.tensor([0, -100])
        >>> student = unsure = Output(features, torch.zeros(2, 2))
        >>> sure = Output(features, torch.tensor([[3.0, 1.0], [0.0, 9.0]]).log())
        >>> pairs = {"audio": Pair(student, sure, target), "text": Pair(student, unsure, target)}
        >>> ConfidenceWeights()(pairs)
        {'audio': tensor(0.6000), 'text': tensor(0.4000)}
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, Tensor] = {}

    @torch.no_grad()
    def forward(self, pairs: Mapping[str, Pair | None]) -> Mapping[str, float | Tensor]:
        """The weights of this batch."""
        teaching = {m: pair for m, pair in pairs.items() if pair is not None}
        self._last = {}
        if teaching:
            # Each rank has labels of its own, and all must have the same weights.
            sums = sum_over_ranks(torch.stack([_label_sums(pair) for pair in teaching.values()]))
            found = _confidence(sums[:, 0], sums[:, 1]) * (len(teaching) / len(pairs))
            self._last = dict(zip(teaching, found, strict=True))
        return {m: self._last.get(m, 0.0) for m in pairs}

    def logged_values(self) -> dict[str, Tensor]:
        """The weights of the last batch, of those that taught with it."""
        return {f"weight/{modality}": weight for modality, weight in self._last.items()}


def _label_sums(pair: Pair) -> Tensor:
    """The teacher's summed cross-entropy and the number of labels, [2]."""
    teacher = pair.teacher
    assert teacher is not None  # a pair without one is the teacher-free control's
    target = pair.target if teacher.label is None else teacher.label
    logits = scores_at(teacher.logits, target.shape[1:])
    return torch.stack(cross_entropy_sum(logits, target))


def _confidence(total: Tensor, labels: Tensor) -> Tensor:
    """The weights of M teachers with these sums, all [M]."""
    count = len(total)
    if count == 1:
        return torch.ones_like(total)
    weights = (1 - (total / labels.clamp(min=1)).softmax(0)) / (count - 1)
    return torch.where((labels > 0).all(), weights, 1 / count)
