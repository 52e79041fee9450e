"""MFH: only the channels of the teacher that both modalities share teach the student."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import (
    CLASSES_REMEDY,
    DistillationLoss,
    require_same_shape,
    require_teacher,
)
from fdkd_lightning.ops.cross_entropy import cross_entropy
from fdkd_lightning.ops.distributed import sum_over_ranks
from fdkd_lightning.ops.divergence import softened_kl
from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.types import Output


def mfh_saliency(
    student_logits: Tensor,
    teacher_features: Tensor,
    weight: Tensor,
    bias: Tensor,
    repeats: int = 10,
) -> Tensor:
    r"""How much each teacher channel matters for what both modalities agree on.

    .. math::
        s_d = \frac1R \sum_r \frac{1}{NK}
        \big\lVert Z^s - (\tilde F^{(d, r)} W^\top + b) \big\rVert^2, \quad
        \hat s_d = \frac{s_d - \min s}{\max s - \min s}

    where :math:`\tilde F^{(d, r)}` are the teacher's features with channel d permuted within the
    batch. Where all channels matter alike every value is 0.

    Args:
        student_logits: What the student says of the batch.
        teacher_features: The teacher's features of it.
        weight: The teacher's classifier.
        bias: Its bias.
        repeats: R, permutations per channel, drawn from torch's global generator.

    Shape:
        - student_logits: [N, K]
        - teacher_features: [N, D]
        - weight: [K, D]
        - bias: [K]
        - output: [D], from 0 to 1

    Raises:
        ValueError: If ``repeats`` is below 1.

    Reference:
        Z. Xue et al., "The modality focusing hypothesis: towards understanding crossmodal
        knowledge distillation", ICLR 2023 (arXiv 2206.06487), Algorithm 1;
        zihuixue/MFH, ravdess/utils/helper.py (``cal_overlap_tag``, 10 permutations).

    Example:
        >>> features = torch.tensor([[1.0, 1.0], [-1.0, 1.0]]).repeat(8, 1)
        >>> mfh_saliency(features, features, torch.eye(2), torch.zeros(2))
        tensor([1., 0.])
    """
    if repeats < 1:
        raise ValueError(f"repeats={repeats} must be at least 1, for example 10")
    saliency = _permutation_errors(student_logits, teacher_features, weight, bias, repeats)
    lowest, highest = saliency.aminmax()
    return (saliency - lowest) / torch.where(highest > lowest, highest - lowest, 1.0)


class MFHLoss(DistillationLoss):
    r"""Predictions from the modality-general channels of the teacher's features.

    .. math::
        L = w \cdot \frac{1}{NK} \sum_i T^2 \, \mathrm{KL}\big(
        \mathrm{softmax}(h(\bar f^t_i) / T) \,\|\, \mathrm{softmax}(z^s_i / T)\big)

    where :math:`\bar f^t` has the ``drop`` least salient channels (:func:`mfh_saliency`) replaced
    by their mean over the batch, and h is a linear classifier.

    MFH has a stage of its own. In its code teacher and student are first trained together, with
    cross-entropies and the MSE of their logits; the saliency is taken from the last batch, the
    channels are frozen inside the teacher, before its last layer, and a new student learns from
    it, without labels. Here the teacher stays frozen and what is trained of it is the last layer,
    h, on its features. The stage is the first ``joint_epochs`` epochs of the run, in which the
    student learns along, and the saliency is the mean over the batches of the last of them. Give
    ``saliency`` to use one that was measured before. The student's labels are the module's
    (``task_weight: null`` is the published weight, 0).

    Terms: ``classifier`` (h's cross-entropy), ``joint`` (MSE of the logits, in the first stage)
    or ``kd`` (after it).

    Args:
        saliency: One value per teacher channel; None: estimated.
        drop: The share of channels that is not used, the least salient ones, in [0, 1).
        joint_epochs: Length of the first stage, officially 100 epochs of a run of its own; 0
            needs ``saliency``, or uses all channels. It must end before the run does.
        repeats: Permutations per channel and batch; officially 10.
        temperature: T.
        weight: w.

    Shape:
        - features: [N, D]
        - logits: [N, K]

    Raises:
        ValueError: If an argument is out of range, ``saliency`` has another length than the
            teacher's features, outputs are maps, or the numbers of classes differ.

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
        if not 0 <= drop < 1:
            raise ValueError(f"drop={drop} must be in [0, 1): the share of channels left out")
        if joint_epochs < 0 or repeats < 1 or temperature <= 0:
            raise ValueError(
                f"joint_epochs={joint_epochs}, repeats={repeats}, temperature={temperature}: they "
                "must be at least 0, at least 1, and above 0"
            )
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
        # No buffers: a "true" precision would cast them, and a sum in bfloat16 soon stands still.
        self._total = torch.tensor(self.saliency or (), dtype=torch.float32)
        self._batches = 0 if saliency is None else 1
        self._epoch = 0

    def get_extra_state(self) -> Tensor:
        """For the checkpoint: the sum of the saliencies measured so far, and their number."""
        return torch.cat([self._total, self._total.new_tensor([self._batches])])

    def set_extra_state(self, state: Tensor) -> None:
        """Take up a saliency where a checkpoint left it."""
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
        """Tell which stage it is."""
        self._epoch = epoch

    def single_teacher_only(self) -> bool:
        """It does: the saliency is of one network's channels."""
        return True

    def warmup_epochs(self) -> int:
        """The first stage, in which nothing is distilled, must come to an end."""
        return self.joint_epochs

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted terms."""
        teacher = require_teacher(self, teacher)
        require_same_shape("logits", student.logits, teacher.logits, CLASSES_REMEDY)
        features = self._features(teacher)
        logits = self.classifier(features)
        label = target if teacher.label is None else teacher.label
        terms = {"classifier": cross_entropy(logits, label)}
        dtype = torch.promote_types(student.logits.dtype, torch.float32)
        own = student.logits.to(dtype)
        if self._epoch < self.joint_epochs:
            terms["joint"] = F.mse_loss(own, logits.to(dtype))
            if self.training and self.saliency is None and self._epoch == self.joint_epochs - 1:
                self._measure(own.detach(), features)
            return terms
        with torch.no_grad():
            general = self.classifier(self._frozen(features)).to(dtype)
        divergence = softened_kl(own, general, self.temperature, "class_mean")
        terms["kd"] = self.weight * divergence
        return terms

    def general_channels(self) -> Tensor:
        """Which channels teach, [D] bool; all where no saliency is known yet."""
        count = len(self._total)
        kept = torch.ones(count, dtype=torch.bool)
        if self._batches:
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
        errors = _permutation_errors(logits, features, weight, bias, self.repeats)
        self._total = self._total.to(errors.device) + sum_over_ranks(errors)
        self._batches += 1

    def _features(self, teacher: Output) -> Tensor:
        if teacher.features.ndim != 2:
            raise ValueError(
                f"the teacher's features have shape {list(teacher.features.shape)}: MFH permutes "
                "channels of vectors [N, D], so let the model pool its maps"
            )
        return teacher.features.detach()


def _permutation_errors(
    logits: Tensor, features: Tensor, weight: Tensor, bias: Tensor, repeats: int
) -> Tensor:
    dtype = torch.promote_types(logits.dtype, torch.float32)
    features, weight = features.to(dtype), weight.to(dtype)
    with torch.autocast(features.device.type, enabled=False):
        rest = features @ weight.T + bias.to(dtype) - logits.to(dtype)
    errors = torch.zeros(features.shape[1], dtype=dtype, device=features.device)
    for _ in range(repeats):
        # One order per channel; a channel's change moves the logits along its column of W.
        order = torch.rand(features.shape, device=features.device).argsort(0)
        change = (features.gather(0, order) - features).unsqueeze(-1) * weight.T
        errors += (rest.unsqueeze(1) + change).square().mean((0, 2))
    return errors / repeats
