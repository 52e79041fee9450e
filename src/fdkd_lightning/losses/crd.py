"""CRD: contrast of each sample's pair with pairs of other classes from a memory of embeddings."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, label_or_prediction, require_teacher
from fdkd_lightning.losses.negatives import NegativeSampler, pick_candidates
from fdkd_lightning.losses.outputs import require_same_batch
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.checks import check_count, check_range, check_weights
from fdkd_lightning.ops.distributed import gather_rows, world_size
from fdkd_lightning.ops.normalize import l2_normalize
from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.ops.tensor_checks import check_labels
from fdkd_lightning.types import Output

EPSILON = 1e-7
UNUSED = -2  # not -100, which is a label


class CRDLoss(DistillationLoss):
    r"""Contrastive loss between each network's embeddings and a memory of the other's.

    .. math::
        L = -\frac{w}{N} \sum_{(v, m) \in \{(v^s, m^t), (v^t, m^s)\}} \sum_i
        \Big[ \log \frac{P_i}{P_i + K / M + \epsilon}
        + \sum_{k \in \mathcal{N}_i} \log \frac{K / M}{P_k + K / M + \epsilon} \Big],
        \quad P_k = \frac{\exp(v_i \cdot m_k / \tau)}{Z}

    v are embeddings of unit length after a linear layer; both layers are trained, the teacher's on
    its frozen features. Each network has a memory of M slots, initialised at random and updated
    with the embeddings: :math:`m \leftarrow \mathrm{unit}(\mu m + (1 - \mu) v)`. Each memory has
    a constant Z: M times the mean of :math:`\exp(v \cdot m / \tau)` over the first batch.
    :math:`\mathcal{N}_i` are K slots of other classes, drawn from torch's global generator.

    The sample with ``Output.index`` i has slot ``i % memory_size``. If all indices are below
    ``memory_size`` this is the published memory, otherwise samples share slots. Memory use is
    therefore bounded: M times ``dim`` numbers per network. They are part of the checkpoint, so a
    resumed run continues exactly. Three things differ from the published code:

    - Negatives are slots that a sample has already used. Random slots would outnumber them if the
      memory is larger than the data. Only the first step has random slots, so Z is the published
      one.
    - The probability of noise is 1/M instead of one over the number of samples. Z is proportional
      to the same number, so it cancels where P is compared with noise, except for epsilon.
    - Negatives are drawn with replacement. The published code does so only if there are fewer
      slots than K. The expectation is the same.

    The memory is updated in training mode, after the scores are computed. Under DDP every rank
    keeps the same memory, with the samples of all ranks. A batch whose embeddings are not finite
    has a loss of NaN and leaves the memory unchanged, so that later batches do not suffer from it.

    Args:
        negatives: K, the number of negatives per sample, at least 1.
        memory_size: M, the number of slots, at least 2. A step compares the batch with all slots
            and draws K a sample: its time grows with M and K, to some percent of the step of a
            ResNet-18. The default exceeds the training samples of every data set in the FD-CMKD
            paper (VGGSound-50, the largest, has 25,835).
        dim: Size of the embeddings, at least 1.
        temperature: Tau, above 0.
        momentum: Mu, from 0 to 1.
        weight: Factor w of the term.
        sampler: Chooses the negatives by their positions in the data set; None: as above.
            :class:`~fdkd_lightning.losses.PublishedNegatives` is the published choice.

    Shape:
        - features: [N, D]; D may differ between the networks
        - index: [N]
        - target: [N]; an unlabelled sample (-100) has the class that the teacher predicts

    Raises:
        ValueError: If an argument is out of range, outputs are maps, the student's output has no
            index, or there is no teacher.
        RuntimeError: If it is called before :meth:`build`.

    Reference:
        Y. Tian et al., "Contrastive representation distillation" (arXiv 1910.10699), Eq. 18;
        HobbitLong/RepDistiller, crd/criterion.py and crd/memory.py (weight 0.8 in its scripts);
        megvii-research/mdistiller, distillers/CRD.py.

    Example:
        >>> index = torch.tensor([3, 7])
        >>> output = Output(torch.randn(2, 8), torch.zeros(2, 3), index=index)
        >>> loss = CRDLoss(negatives=16, memory_size=32)
        >>> loss.build(output, output)
        >>> list(loss(output, output, torch.tensor([0, 1])))
        ['crd']
        >>> loss.labels[index].tolist()
        [0, 1]
    """

    student_memory: Tensor
    teacher_memory: Tensor
    log_mean: Tensor
    labels: Tensor

    def __init__(
        self,
        negatives: int = 16384,
        memory_size: int = 32768,
        dim: int = 128,
        temperature: float = 0.07,
        momentum: float = 0.5,
        weight: float = 0.8,
        sampler: NegativeSampler | None = None,
    ) -> None:
        super().__init__()
        check_count("negatives", negatives, example=16384)
        check_count("memory_size", memory_size, 2, example=32768)
        check_count("dim", dim, example=128)
        check_weights(weight=weight)
        check_range("temperature", temperature, above=0, example=0.07)
        check_range("momentum", momentum, 0, 1, example=0.5)
        self.negatives = negatives
        self.memory_size = memory_size
        self.dim = dim
        self.temperature = temperature
        self.momentum = momentum
        self.weight = weight
        self.sampler = sampler
        self.student_embedding = ProbedLinear(out_features=dim)
        self.teacher_embedding = ProbedLinear(out_features=dim)
        for name in ("student_memory", "teacher_memory"):
            slots = (2 * torch.rand(memory_size, dim) - 1) / math.sqrt(dim / 3)
            self.register_buffer(name, slots)
        # log(Z / M) of the teacher's and the student's memory: Z would overflow in half precision.
        self.register_buffer("log_mean", torch.zeros(2))
        self.register_buffer("labels", torch.full((memory_size,), UNUSED))

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the embedding layers for the features' widths."""
        teacher = require_teacher(self, teacher)
        self.student_embedding.build(student.features.shape[1], self.dim)
        self.teacher_embedding.build(teacher.features.shape[1], self.dim)

    def tasks(self) -> tuple[type[Task], ...]:
        """Return the task of negatives of other classes."""
        return (OneClassTask,)

    def single_teacher_only(self) -> bool:
        """Return True: one memory and one embedding belong to the teacher."""
        return True

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted term."""
        teacher = require_teacher(self, teacher)
        slots = self._slots(student, teacher, target)
        labels = label_or_prediction(target, teacher)
        student_v = l2_normalize(self.student_embedding(student.features))
        teacher_v = l2_normalize(self.teacher_embedding(teacher.features.detach()))
        if not len(student_v) and world_size() == 1:
            return {"crd": student_v.sum() + teacher_v.sum()}
        drawn = torch.cat([slots[:, None], self._negatives(student, slots, labels)], 1)
        pairs = (student_v, self.teacher_memory), (teacher_v, self.student_memory)
        scores = torch.stack([self._scores(v, memory, drawn) for v, memory in pairs])
        log_means = scores.detach().logsumexp(2).T - math.log(1 + self.negatives)
        rows = torch.cat([student_v.detach(), teacher_v.detach(), log_means], 1)
        if self.training:
            rows = gather_rows(rows)
            slots, labels = gather_rows(torch.stack([slots, labels], 1)).unbind(1)
        student_rows, teacher_rows, log_means = torch.split(rows, [self.dim, self.dim, 2], 1)
        log_mean = torch.where(
            (self.labels != UNUSED).any(),
            self.log_mean.to(rows.dtype),
            log_means.logsumexp(0) - math.log(len(rows)),
        )
        if self.training:
            # A row of NaN would stay in the memory for good. The loss of this step shows it.
            is_finite = rows.isfinite().all()
            self.log_mean.copy_(torch.where(is_finite, log_mean, self.log_mean))
            self._update_memory(student_rows, teacher_rows, slots, labels, is_finite)
        # log(P / (K / M + epsilon)); logsigmoid is finite where exp would overflow.
        noise = self.negatives + EPSILON * self.memory_size
        odds = scores - log_mean[:, None, None] - math.log(noise)
        log_likelihood = F.logsigmoid(odds[..., 0]).sum() + F.logsigmoid(-odds[..., 1:]).sum()
        rest = 2 * self.negatives * math.log(self.negatives / noise)
        # A rank without samples takes part in the gathering, and adds nothing.
        return {"crd": -self.weight * (log_likelihood / max(len(student_v), 1) + rest)}

    def _slots(self, student: Output, teacher: Output, target: Tensor) -> Tensor:
        require_same_batch(student.features, teacher.features)
        for role, features in (("student", student.features), ("teacher", teacher.features)):
            if features.ndim != 2:
                raise ValueError(
                    f"the {role}'s features have shape {list(features.shape)}: CRD compares "
                    "samples, one vector [N, D] each"
                )
        check_labels("target", target, student.features.shape[:1], "the features [N, D]")
        if student.index is None:
            raise ValueError(
                "the student's Output has no index, by which CRD stores samples: the batch "
                "needs 'index', each sample's position in its data set"
            )
        check_labels("index", student.index, target.shape, f"target {list(target.shape)}")
        return student.index % self.memory_size

    def _negatives(self, student: Output, slots: Tensor, labels: Tensor) -> Tensor:
        """Slots of the negatives: [N, K]."""
        if self.sampler is None:
            return self._draw(slots, labels)
        assert student.index is not None  # _slots has checked it
        chosen = self.sampler(student.index, self.negatives)
        size = (len(slots), self.negatives)
        if chosen.dtype != torch.int64 or chosen.shape != size:
            raise ValueError(
                f"sampler gave {chosen.dtype} {list(chosen.shape)}: let it return int64 positions "
                f"in the data set, {list(size)}"
            )
        return chosen.to(slots.device) % self.memory_size

    def _draw(self, slots: Tensor, labels: Tensor) -> Tensor:
        """K slots of other classes for each sample: [N, K]."""
        others = torch.arange(self.memory_size, device=slots.device) != slots[:, None]
        seen = others & (self.labels != UNUSED)
        foreign = seen & (self.labels != labels[:, None])
        # Without other classes: slots of other samples; without other samples: any other slots.
        fallback = torch.where(seen.any(1, keepdim=True), seen, others)
        candidates = torch.where(foreign.any(1, keepdim=True), foreign, fallback)
        # Integers of 62 bits are uniform; float32 could not reach every slot of a large memory.
        chosen = torch.randint(2**62, (len(slots), self.negatives), device=slots.device)
        return pick_candidates(candidates, chosen)

    def _scores(self, v: Tensor, memory: Tensor, drawn: Tensor) -> Tensor:
        """Dot products over the temperature: [N, 1 + K]."""
        # One product with all slots: gathering the drawn vectors would take N K dim numbers. The
        # memory changes before the backward pass, hence the copy. Autocast would use bf16.
        with torch.autocast(v.device.type, enabled=False):
            return (v @ memory.to(v.dtype, copy=True).T).gather(1, drawn) / self.temperature

    @torch.no_grad()
    def _update_memory(
        self,
        student_rows: Tensor,
        teacher_rows: Tensor,
        slots: Tensor,
        labels: Tensor,
        is_finite: Tensor,
    ) -> None:
        # DDP may repeat samples to fill an epoch: the last one is stored, on every device.
        order = torch.arange(len(slots), device=slots.device)
        last = ((slots[:, None] == slots) * order).amax(1)
        for memory, v in ((self.student_memory, student_rows), (self.teacher_memory, teacher_rows)):
            mixed = self.momentum * memory[slots].to(v.dtype) + (1 - self.momentum) * v[last]
            updated = l2_normalize(mixed).to(memory.dtype)
            memory[slots] = torch.where(is_finite, updated, memory[slots])
        self.labels[slots] = torch.where(is_finite, labels[last], self.labels[slots])
