"""CRD: a sample's own pair, told from the pairs of other classes in a memory of the data."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fdkd_lightning.losses.base import DistillationLoss, label_or_prediction, require_teacher
from fdkd_lightning.ops.distributed import gather_rows
from fdkd_lightning.ops.normalize import l2_normalize
from fdkd_lightning.ops.probed_linear import ProbedLinear
from fdkd_lightning.types import Output

EPSILON = 1e-7
UNUSED = -2  # -100 is a label of its own


class CRDLoss(DistillationLoss):
    r"""Contrast with a memory: each network's embedding finds its sample among the other's.

    .. math::
        L = -\frac{w}{N} \sum_{(v, m) \in \{(v^s, m^t), (v^t, m^s)\}} \sum_i
        \Big[ \log \frac{P_i}{P_i + K / M + \epsilon}
        + \sum_{k \in \mathcal{N}_i} \log \frac{K / M}{P_k + K / M + \epsilon} \Big],
        \quad P_k = \frac{\exp(v_i \cdot m_k / \tau)}{Z}

    v are embeddings (linear, then of unit length; both are trained, the teacher's on its frozen
    features). Each network has a memory of M slots, which begins random and follows the
    embeddings: :math:`m \leftarrow \mathrm{unit}(\mu m + (1 - \mu) v)`. Z, one per memory, is M
    times the mean of :math:`\exp(v \cdot m / \tau)` over the first batch, and stays so.
    :math:`\mathcal{N}_i` are K slots of other classes, drawn from torch's global generator.

    Sample ``Output.index`` has slot ``index % memory_size``. Where all indices are below
    ``memory_size`` this is the published memory, else samples share slots: what it costs is
    bounded, M times ``dim`` numbers per network, in the checkpoint too, so that a resumed run goes
    on exactly. Three things differ from the published code:

    - Negatives are slots that a sample has used. Random ones would outnumber them where the memory
      is larger than the data. Only the first step has no others, so Z is the published one.
    - The probability of noise is 1/M, not one over the number of samples. Z is in proportion to
      the same number, so it cancels where P is compared with noise, but for epsilon.
    - Negatives are drawn with replacement; there only if there are fewer slots than K. The
      expectation is the same.

    The memory changes in training mode, after the scores. Under DDP all processes keep the same,
    of the samples of all.

    Args:
        negatives: K.
        memory_size: M, at least 2; a step compares the batch with all slots, so its time grows
            with M. The default is above the training samples of each set that FD-CMKD was
            published on (VGGSound-50, the largest, has 25,835).
        dim: Size of the embeddings.
        temperature: Tau, above 0.
        momentum: Mu, from 0 to 1.
        weight: w.

    Shape:
        - features: [N, D], of any width for either
        - target: [N]; a sample without a label is of the class that the teacher predicts

    Raises:
        ValueError: If an argument is out of range, outputs are maps, the student's output has no
            index, or there is no teacher.
        RuntimeError: If it was not built.

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
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("negatives", negatives, 1),
            ("memory_size", memory_size, 2),
            ("dim", dim, 1),
        ):
            if value < least:
                raise ValueError(f"{name}={value} must be at least {least}")
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be above 0, for example 0.07")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum={momentum} must be from 0 to 1, for example 0.5")
        self.negatives = negatives
        self.memory_size = memory_size
        self.dim = dim
        self.temperature = temperature
        self.momentum = momentum
        self.weight = weight
        self.student_embedding = ProbedLinear(out_features=dim)
        self.teacher_embedding = ProbedLinear(out_features=dim)
        for name in ("student_memory", "teacher_memory"):
            slots = (2 * torch.rand(memory_size, dim) - 1) / math.sqrt(dim / 3)
            self.register_buffer(name, slots)
        # log(Z / M) of the teacher's and of the student's memory: Z alone is too large for halves.
        self.register_buffer("log_mean", torch.zeros(2))
        self.register_buffer("labels", torch.full((memory_size,), UNUSED))

    def build(self, student: Output, teacher: Output | None) -> None:
        """Size the embeddings by the features."""
        teacher = require_teacher(self, teacher)
        for embedding, output in (
            (self.student_embedding, student),
            (self.teacher_embedding, teacher),
        ):
            embedding.build(output.features.shape[1], self.dim)

    def single_teacher_only(self) -> bool:
        """It does: so does its memory."""
        return True

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted term."""
        teacher = require_teacher(self, teacher)
        slots = self._slots(student, teacher, target)
        labels = label_or_prediction(target, teacher)
        own = l2_normalize(self.student_embedding(student.features))
        its = l2_normalize(self.teacher_embedding(teacher.features.detach()))
        drawn = torch.cat([slots[:, None], self._draw(slots, labels)], 1)
        scores = torch.stack(
            [
                self._scores(own, self.teacher_memory, drawn),
                self._scores(its, self.student_memory, drawn),
            ]
        )
        log_means = scores.detach().logsumexp(2).T - math.log(1 + self.negatives)
        rows = torch.cat([own.detach(), its.detach(), log_means], 1)
        if self.training:
            rows = gather_rows(rows)
            slots, labels = gather_rows(torch.stack([slots, labels], 1)).unbind(1)
        batch_own, batch_its, log_means = torch.split(rows, [self.dim, self.dim, 2], 1)
        log_mean = torch.where(
            (self.labels != UNUSED).any(),
            self.log_mean.to(rows.dtype),
            log_means.logsumexp(0) - math.log(len(rows)),
        )
        if self.training:
            self.log_mean.copy_(log_mean)
            self._remember(batch_own, batch_its, slots, labels)
        # log(P / (K / M + epsilon)); a logarithm of a logistic holds where exp would overflow.
        noise = self.negatives + EPSILON * self.memory_size
        odds = scores - log_mean[:, None, None] - math.log(noise)
        log_likelihood = F.logsigmoid(odds[..., 0]).sum() + F.logsigmoid(-odds[..., 1:]).sum()
        rest = 2 * self.negatives * math.log(self.negatives / noise)
        return {"crd": -self.weight * (log_likelihood / len(own) + rest)}

    def _slots(self, student: Output, teacher: Output, target: Tensor) -> Tensor:
        for role, features in (("student", student.features), ("teacher", teacher.features)):
            if features.ndim != 2 or target.ndim != 1:
                raise ValueError(
                    f"the {role}'s features have shape {list(features.shape)}, the target "
                    f"{list(target.shape)}: CRD compares samples, one vector [N, D] and class each"
                )
        if student.index is None:
            raise ValueError(
                "the student's Output has no index, and CRD remembers samples by it: the batch "
                "needs 'index', each sample's number in its data set"
            )
        return student.index % self.memory_size

    def _draw(self, slots: Tensor, labels: Tensor) -> Tensor:
        """K slots of other classes for each sample, [N, K]."""
        others = torch.arange(self.memory_size, device=slots.device) != slots[:, None]
        seen = others & (self.labels != UNUSED)
        foreign = seen & (self.labels != labels[:, None])
        # Where there are no other classes: other samples; where there is none: random slots.
        fallback = torch.where(seen.any(1, keepdim=True), seen, others)
        candidates = torch.where(foreign.any(1, keepdim=True), foreign, fallback)
        ranks = candidates.cumsum(1)
        # Integers, as uniform as 62 bits: a float32 would leave out slots of a large memory.
        chosen = torch.randint(2**62, (len(slots), self.negatives), device=slots.device)
        return torch.searchsorted(ranks, chosen % ranks[:, -1:] + 1)

    def _scores(self, v: Tensor, memory: Tensor, drawn: Tensor) -> Tensor:
        """The dot products over the temperature, [N, 1 + K]."""
        # All slots by one product: the drawn vectors alone would be N K dim numbers. A copy,
        # because the memory changes before the backward pass; autocast would take it to bf16.
        with torch.autocast(v.device.type, enabled=False):
            return (v @ memory.to(v.dtype, copy=True).T).gather(1, drawn) / self.temperature

    @torch.no_grad()
    def _remember(self, own: Tensor, its: Tensor, slots: Tensor, labels: Tensor) -> None:
        # DDP repeats samples to fill an epoch: the last one counts, on every device alike.
        order = torch.arange(len(slots), device=slots.device)
        last = ((slots[:, None] == slots) * order).amax(1)
        for memory, v in ((self.student_memory, own), (self.teacher_memory, its)):
            mixed = self.momentum * memory[slots].to(v.dtype) + (1 - self.momentum) * v[last]
            memory[slots] = l2_normalize(mixed).to(memory.dtype)
        self.labels[slots] = labels[last]
