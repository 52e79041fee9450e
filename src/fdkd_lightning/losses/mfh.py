"""MFH: distill from the channels of the teacher that matter to both modalities."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.mfh_saliency import permutation_errors
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.checks import check_count, check_range, check_weights
from fdkd_lightning.ops.cross_entropy import cross_entropy
from fdkd_lightning.ops.distributed import sum_over_ranks
from fdkd_lightning.ops.divergence import check_logits, check_masks, softened_kl
from fdkd_lightning.ops.mean import mean_squared_error
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.types import Output


class MFHLoss(DistillationLoss):
    r"""Distill predictions made from the modality-general channels of the teacher's features.

    .. math::
        L = w \cdot \frac{1}{NK} \sum_i T^2 \, \mathrm{KL}\big(
        \mathrm{softmax}(h(\bar f^t_i) / T) \,\|\, \mathrm{softmax}(z^s_i / T)\big)

    where :math:`\bar f^t` has the ``drop`` least salient channels (:func:`mfh_saliency`) replaced
    by their mean over the batch, and h is a linear classifier.

    MFH has a first stage. In the official code teacher and student are trained together, with
    cross-entropies and the MSE of their logits. The saliency is computed on the last batch. The
    channels are then frozen inside the teacher, before its last layer, and a new student learns
    from it, without labels.

    Here the teacher stays frozen, and only a new last layer, h, is trained on its features. The
    first stage is the first ``joint_epochs`` epochs of the run, in which the student is trained,
    too. The saliency is the mean over the batches of the last of these epochs. Give ``saliency`` to
    use one that was measured before. The student's labels are used by the module's task loss
    (``task_weight: null`` is the published weight, 0).

    Terms: ``classifier`` (h's cross-entropy), and ``joint`` (MSE of the logits) in the first stage
    or ``kd`` after it.

    Args:
        saliency: One finite value per teacher channel; None: estimated in the first stage.
        drop: Share of channels that are left out, the least salient ones, in [0, 1).
        joint_epochs: Length of the first stage; officially 100 epochs of a separate run. With 0 and
            no ``saliency`` all channels are used. The stage must end before the run does.
        repeats: Permutations per channel and batch, at least 1; officially 10.
        temperature: T, above 0; larger is softer.
        weight: w.

    Shape:
        - features: [N, D]
        - logits: [N, K]

    Raises:
        ValueError: If an argument is out of range, ``saliency`` is empty or has another length
            than the teacher's features, outputs are maps, or the numbers of classes differ.
        TeacherRequiredError: If there is no teacher.

    Reference:
        arXiv 2206.06487, Algorithm 1 and Section 5; zihuixue/MFH, ravdess/main_overlap_tag.py
        (75 % of the channels dropped, T = 1, ``KLDivLoss(reduction="mean")``).

    Example:
        >>> loss = MFHLoss(saliency=[0.9, 0.1, 0.5, 0.7], joint_epochs=0)
        >>> output = Output(torch.randn(2, 4), torch.zeros(2, 3))
        >>> loss.build(output, output)
        >>> list(loss(output, output, torch.tensor([0, -100])))
        ['classifier', 'kd']
    """

    def __init__(
        self,
        saliency: Sequence[float] | None = None,
        drop: float = 0.75,
        joint_epochs: int = 5,
        repeats: int = 10,
        temperature: float = 1.0,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_range("drop", drop, 0, below=1, example=0.75)
        check_count("joint_epochs", joint_epochs, 0, example=5)
        check_count("repeats", repeats, example=10)
        check_weights(weight=weight)
        check_range("temperature", temperature, above=0, example=1)
        self.classifier = ProbedLinear()
        self.drop = drop
        self.joint_epochs = joint_epochs
        self.repeats = repeats
        self.temperature = temperature
        self.weight = weight
        if saliency is not None and not (saliency and all(map(math.isfinite, saliency))):
            raise ValueError(
                f"saliency={saliency} must be one finite value per teacher channel, as "
                "mfh_saliency gives, or None"
            )
        self.saliency = None if saliency is None else tuple(saliency)
        # Not buffers: a "true" precision would cast them, and a sum in bfloat16 soon stops growing.
        self._total = torch.tensor(self.saliency or (), dtype=torch.float32)
        self._batches = 0 if saliency is None else 1
        self._epoch = 0

    def get_extra_state(self) -> Tensor:
        """Return the sum of the measured saliencies and the number of batches, for checkpoints."""
        return torch.cat([self._total, self._total.new_tensor([self._batches])])

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the saliency from a checkpoint."""
        self._total, self._batches = state[:-1], int(state[-1])

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the classifier of the teacher's features."""
        teacher = require_teacher(self, teacher)
        size = self._features(teacher).shape[1]
        if self.saliency is not None and len(self.saliency) != size:
            raise ValueError(
                f"saliency has {len(self.saliency)} values, the teacher's features {size} channels"
            )
        if len(self._total) != size:
            self._total = torch.zeros(size)
        self.classifier.build(size, teacher.logits.shape[1])

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which decides the stage."""
        self._epoch = epoch

    def tasks(self) -> tuple[type[Task], ...]:
        """Return the task of a softmax."""
        return (OneClassTask,)

    def single_teacher_only(self) -> bool:
        """Return True: the saliency belongs to the channels of one teacher."""
        return True

    def warmup_epochs(self) -> int:
        """Return the length of the first stage, in which nothing is distilled."""
        return self.joint_epochs

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Compute the weighted terms."""
        teacher = require_teacher(self, teacher)
        check_logits(student.logits, teacher.logits)
        check_masks(student.logits, teacher.logits)
        # h predicts the teacher's classes: those that it masks are masked in h.
        masked = teacher.logits == -torch.inf
        features = self._features(teacher)
        logits = self.classifier(features).masked_fill(masked, -torch.inf)
        label = target if teacher.label is None else teacher.label
        terms = {"classifier": cross_entropy(logits, label)}
        student_logits = at_least_float32(student.logits)
        dtype = student_logits.dtype
        if self._epoch < self.joint_epochs:
            both = [x.masked_fill(masked, 0.0) for x in (student_logits, logits.to(dtype))]
            terms["joint"] = mean_squared_error(*both)
            if self.training and self.saliency is None and self._epoch == self.joint_epochs - 1:
                self._measure(student_logits.detach(), features)
            return terms
        with torch.no_grad():
            general = self.classifier(self._frozen(features)).to(dtype)
            general = general.masked_fill(masked, -torch.inf)
        divergence = softened_kl(student_logits, general, self.temperature, "class_mean")
        terms["kd"] = self.weight * divergence
        return terms

    def general_channels(self) -> Tensor:
        """Return which channels are distilled; all of them until a saliency is known.

        Shape:
            - output: [D], bool
        """
        count = len(self._total)
        kept = torch.ones(count, dtype=torch.bool)
        # Without a finite batch nothing was measured.
        if self._batches and (self.saliency is not None or bool(self._total.any())):
            # 0.29 * 100 is 28.999999999999996.
            least = self._total.argsort(stable=True)[: int(self.drop * count + 1e-9)].cpu()
            kept[least] = False
        return kept

    def _frozen(self, features: Tensor) -> Tensor:
        return torch.where(self.general_channels().to(features.device), features, features.mean(0))

    @torch.no_grad()
    def _measure(self, logits: Tensor, features: Tensor) -> None:
        weight, bias = self.classifier.weight, self.classifier.bias
        assert weight is not None
        assert bias is not None
        errors = permutation_errors(logits, features, weight, bias, self.repeats)
        errors = sum_over_ranks(errors)
        # A batch of NaN, which its loss shows, would spoil the sum for good.
        errors = torch.where(errors.isfinite().all(), errors, 0.0)
        self._total = self._total.to(errors.device) + errors
        self._batches += 1

    def _features(self, teacher: Output) -> Tensor:
        if teacher.features.ndim != 2:
            raise ValueError(
                f"the teacher's features have shape {list(teacher.features.shape)}: MFH permutes "
                "channels of vectors [N, D], so let the model pool its maps"
            )
        if len(teacher.features) != len(teacher.logits):
            raise ValueError(
                f"the teacher's features have shape {list(teacher.features.shape)}, its logits "
                f"{list(teacher.logits.shape)}: give the same samples"
            )
        return teacher.features.detach()
