"""Weights of several teachers in the distillation loss."""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from fdkd_lightning.losses.alignment import scores_at
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.checks import check_range, refuse_renamed_methods
from fdkd_lightning.ops.cross_entropy import cross_entropy_sum
from fdkd_lightning.ops.distributed import sum_over_ranks
from fdkd_lightning.training.pairs import Pair


class TeacherWeights(nn.Module, ABC):
    r"""Base class of the weights in :math:`L = \sum_m w_m L_m`.

    :math:`L_m` is the sum of all terms of teacher m. A teacher without a pair in a step adds
    nothing, and the weights of the others stay as they are. Without an object of this class, each
    of M teachers has the weight 1/M.

    Raises:
        TypeError: If a subclass defines a method under its name of an earlier version.

    Example:
        >>> class First(TeacherWeights):
        ...     def forward(self, pairs):
        ...         return {m: float(i == 0) for i, m in enumerate(pairs)}
        >>> First()({"audio": None, "text": None})
        {'audio': 1.0, 'text': 0.0}
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        refuse_renamed_methods(cls, {"record": "logged_values"})

    def set_task(self, task: Task) -> None:
        """Set what the labels mean, once, before :meth:`build`.

        Args:
            task: The task; weights that depend on labels of another one raise a ValueError.
        """

    def build(self, teachers: Collection[str]) -> None:
        """Create parameters for the teachers, before the optimizers are configured.

        Not called without teachers.

        Args:
            teachers: The teachers' modalities.
        """

    @abstractmethod
    def forward(self, pairs: Mapping[str, Pair | None]) -> Mapping[str, float | Tensor]:
        """Return each teacher's weight in this step, the same on all ranks.

        Args:
            pairs: Modality -> outputs of the student and that teacher; None: it has no samples in
                this step.
        """

    def terms(self, pairs: Mapping[str, Pair | None]) -> dict[str, Tensor]:
        """Return terms that the weights add to the loss, by name.

        Args:
            pairs: As in :meth:`forward`.
        """
        return {}

    def logged_values(self) -> dict[str, Tensor]:
        """Return the weights to log if they change: ``weight/<modality>`` -> scalar."""
        return {}


class FixedWeights(TeacherWeights):
    """Constant weights.

    Args:
        weights: Modality of each teacher -> weight, at least 0. The weights are divided by their
            sum.

    Raises:
        ValueError: If a weight is negative or NaN, or all are 0; by :meth:`build`, if the
            modalities are not those of the teachers.

    Example:
        >>> FixedWeights({"audio": 3, "text": 1})({"audio": None, "text": None})
        {'audio': 0.75, 'text': 0.25}
    """

    def __init__(self, weights: dict[str, float]) -> None:
        super().__init__()
        for name, weight in weights.items():
            check_range(f"weights[{name!r}]", weight, 0)
        if not 0 < sum(weights.values()) < math.inf:
            raise ValueError(
                f"weights={weights} must have a sum above 0, for example {{audio: 2, text: 1}}"
            )
        self.weights = {name: weight / sum(weights.values()) for name, weight in weights.items()}

    def build(self, teachers: Collection[str]) -> None:
        """Check that the weights are those of the teachers."""
        if self.weights.keys() != set(teachers):
            raise ValueError(
                f"weights has the modalities {', '.join(self.weights)}, but the teachers are "
                f"{', '.join(teachers)}: give one weight for each teacher"
            )

    def forward(self, pairs: Mapping[str, Pair | None]) -> Mapping[str, float | Tensor]:
        """Return the weights; they do not depend on the batch."""
        return {modality: self.weights[modality] for modality in pairs}


class LearnedWeights(TeacherWeights):
    r"""Weights learned during training, from the uncertainty of each teacher's loss.

    .. math::
        L = \frac{1}{M} \sum_m \big( e^{-s_m} L_m + s_m \big)

    with one :math:`s_m = \log \sigma_m^2` per teacher. All s start at 0, where L is the average
    over the teachers. For a fixed :math:`L_m > 0` the optimum is :math:`e^{-s_m} = 1 / L_m`. So a
    teacher with a low loss gets a high weight, however good it is; and the weighted losses approach
    1, whatever weights their terms have and however large the task loss is. The mean of the s is
    the term ``uncertainty``, which may be negative; the weights :math:`e^{-s_m} / M` are logged.
    The s of a teacher without a pair in a step gets no gradient.

    The s are trained by the module's optimizer, with its learning rate and weight decay, which
    pulls them towards 0. They are saved in the checkpoint.

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
        """Return the weights, with gradients."""
        return {m: (-self.log_variance[m]).exp() / len(pairs) for m in pairs}

    def terms(self, pairs: Mapping[str, Pair | None]) -> dict[str, Tensor]:
        """Return the mean of the s, without which all weights would approach 0."""
        found = [self.log_variance[m] for m, pair in pairs.items() if pair is not None]
        return {"uncertainty": torch.stack(found).sum() / len(pairs)} if found else {}

    def logged_values(self) -> dict[str, Tensor]:
        """Return the current weights."""
        count = len(self.log_variance)
        return {f"weight/{m}": (-s.detach()).exp() / count for m, s in self.log_variance.items()}


class ConfidenceWeights(TeacherWeights):
    r"""Weights by how well each teacher predicts the labels of the batch.

    .. math::
        w_m = \frac{1}{M - 1} \Big( 1 - \frac{e^{C_m}}{\sum_j e^{C_j}} \Big)

    with :math:`C_m` the cross-entropy of teacher m on the labelled samples of the batch, over all
    ranks. The weights have no gradient and sum to 1. The published method has a weight per sample;
    here a batch has one weight per teacher, which applies to unlabelled samples too, since a
    criterion returns scalars. The paper's second part, weights for features, is left out.

    A single teacher has the weight 1. If a teacher has no labelled sample in the batch, all weights
    are equal. If only k of M teachers have a pair, the formula is applied to these k, and their
    weights are multiplied by k / M. The labels are most informative if the teachers were not
    trained on them: on its training data every teacher is confident.

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

    def set_task(self, task: Task) -> None:
        """Raise unless there is one class per sample."""
        if not isinstance(task, OneClassTask):
            raise ValueError(
                f"ConfidenceWeights is for one class per sample, but task_loss is {task.title()}: "
                "choose FixedWeights or LearnedWeights"
            )

    @torch.no_grad()
    def forward(self, pairs: Mapping[str, Pair | None]) -> Mapping[str, float | Tensor]:
        """Return the weights of this batch."""
        teaching = {m: pair for m, pair in pairs.items() if pair is not None}
        self._last = {}
        if teaching:
            # The labels differ between ranks, and the weights must not.
            sums = sum_over_ranks(torch.stack([_label_sums(pair) for pair in teaching.values()]))
            found = _confidence(sums[:, 0], sums[:, 1]) * (len(teaching) / len(pairs))
            self._last = dict(zip(teaching, found, strict=True))
        return {m: self._last.get(m, 0.0) for m in pairs}

    def logged_values(self) -> dict[str, Tensor]:
        """Return the weights of the teachers that had a pair in the last batch."""
        return {f"weight/{modality}": weight for modality, weight in self._last.items()}


def _label_sums(pair: Pair) -> Tensor:
    """Return the teacher's summed cross-entropy and the number of labels, [2]."""
    teacher = pair.teacher
    assert teacher is not None  # only the teacher-free control has pairs without a teacher
    target = pair.target if teacher.label is None else teacher.label
    logits = scores_at(teacher.logits, target.shape[1:])
    return torch.stack(cross_entropy_sum(logits, target))


def _confidence(total: Tensor, labels: Tensor) -> Tensor:
    """Return M weights from summed cross-entropies and numbers of labels, all [M]."""
    count = len(total)
    if count == 1:
        return torch.ones_like(total)
    # A teacher that masks the class of a label has an infinite cross-entropy, and no weight.
    mean = (total / labels.clamp(min=1)).clamp(max=torch.finfo(total.dtype).max)
    weights = (1 - mean.softmax(0)) / (count - 1)
    return torch.where((labels > 0).all(), weights, 1 / count)
