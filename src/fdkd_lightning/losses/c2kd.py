"""C2KD: both networks meet through proxies, where these agree on the order of the classes."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdkd_lightning.losses.base import (
    CLASSES_REMEDY,
    DistillationLoss,
    label_or_prediction,
    require_batch,
    require_same_shape,
    stage_map,
)
from fdkd_lightning.losses.kd import kd_loss
from fdkd_lightning.ops.cross_entropy import cross_entropy
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Output


def rank_agreement(a: Tensor, b: Tensor) -> Tensor:
    r"""Kendall's tau-b of each sample's two rows of logits, in float32 and without gradient.

    .. math::
        \tau = \frac{\sum_{j<k} \mathrm{sign}(a_j - a_k) \, \mathrm{sign}(b_j - b_k)}
        {\sqrt{\#\{j<k : a_j \neq a_k\} \; \#\{j<k : b_j \neq b_k\}}}

    Args:
        a: Logits.
        b: Other logits.

    Shape:
        - a, b: [N, K], the same
        - output: [N], in [-1, 1]; nan where a row is constant, as it has no order

    Raises:
        ValueError: If the shapes differ.

    Reference:
        Kendall 1945; ``scipy.stats.kendalltau``, which the official code of C2KD calls.

    Example:
        >>> a = torch.tensor([[1.0, 2.0, 3.0]])
        >>> [rank_agreement(a, b).item() for b in (a * 5, -a)]
        [1.0, -1.0]
    """
    require_same_shape("logits", a, b, CLASSES_REMEDY)
    signs = [
        torch.sign(x.unsqueeze(2) - x.unsqueeze(1)).flatten(1)
        for x in (y.detach().to(torch.promote_types(y.dtype, torch.float32)) for y in (a, b))
    ]
    untied = [sign.abs().sum(1) for sign in signs]
    return (signs[0] * signs[1]).sum(1) / (untied[0] * untied[1]).sqrt()


def non_target_kl(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    selected: Tensor,
    non_target: Literal["zero", "masked"] = "zero",
) -> Tensor:
    r"""Divergence over the classes that are not the target, of the selected samples, in float32.

    .. math::
        \frac{1}{N} \sum_i m_i \,
        \mathrm{KL}\big(\mathrm{softmax}(\tilde z^t_i) \,\|\, \mathrm{softmax}(\tilde z^s_i)\big)

    The divisor is the batch's size, not the number selected, as in the official code.

    Args:
        student: Logits that learn.
        teacher: Logits that are learnt from; they get no gradient.
        target: Each sample's class.
        selected: m, which samples count.
        non_target: How z~ leaves the target out. ``"zero"`` sets its logit to 0, as the official
            code does: the target then keeps a share of the softmax, alike in both only if the
            others' are. ``"masked"`` takes it out of the softmax, which DKD's -1000 is meant to
            do and a distribution over the non-target classes asks for; it is 0 for two classes.

    Shape:
        - student, teacher: [N, K], the same
        - target: [N], classes only
        - selected: [N], bool
        - output: scalar

    Raises:
        ValueError: If the shapes differ or ``non_target`` is unknown.

    Reference:
        Huo et al., C2KD (CVPR 2024); huofushuo/C2KD, cramed/utils/helper.py (ntkl).

    Example:
        >>> logits = torch.tensor([[7.0, 1.0, 2.0]])
        >>> target, selected = torch.tensor([0]), torch.tensor([True])
        >>> non_target_kl(logits, torch.tensor([[-5.0, 1.0, 2.0]]), target, selected)
        tensor(0.)
    """
    require_same_shape("logits", student, teacher, CLASSES_REMEDY)
    own, its = (
        _leave_out(at_least_float32(z), target, non_target) for z in (student, teacher.detach())
    )
    log_own, log_its = F.log_softmax(own, dim=1), F.log_softmax(its, dim=1)
    divergence = F.kl_div(log_own, log_its, reduction="none", log_target=True).sum(1)
    return (selected * divergence).mean()


class C2KDLoss(DistillationLoss):
    r"""Customised cross-modal distillation: through proxies, both ways, of selected samples.

    Each network has a proxy, :math:`p = \mathrm{Lin}(\mathrm{LeakyReLU}_{0.1}(\mathrm{BN}(
    W \, \mathrm{GAP}(f))))` with f one stage's map. With :math:`\bar x` for "x without gradient",
    KL(x || y) for the divergence of their softmax (T = 1, mean over the batch) and N(y, x) for
    :func:`non_target_kl` the terms are

    .. math::
        \text{student} &= \mathrm{KL}(\bar z_s \| p_s) + \mathrm{KL}(\bar p_s \| z_s) \\
        \text{teacher} &= \mathrm{KL}(\bar z_t \| p_t)
        \; [+ \; \mathrm{KL}(\bar p_t \| z_t) + \mathrm{CE}(z_t, y)] \\
        \text{cross} &= N(p_s, \bar p_t) + N(p_t, \bar p_s)

    with the samples selected whose :func:`rank_agreement` of p_t and p_s is above the threshold.
    CE(z_s, y), of the official sum, is the module's task loss.

    In the published form the teacher, pre-trained, is trained along with the student; that needs
    ``train_teacher`` here and ``train_teachers`` of the module. By default this loss keeps to the
    rule of all others: what is the teacher's is frozen, and what is in brackets, which would
    train nothing else, is left out.

    Without a teacher the student's term is left: it and its proxy, teaching each other.

    Args:
        stage: Whose map the proxies see; the official layer3 is stage 2.
        threshold: What Kendall's tau-b must exceed; officially 0: more pairs of classes in the
            same order than not. A constant row is not selected.
        non_target: As in :func:`non_target_kl`; the official code's is the default.
        train_teacher: Let gradients through to the teacher, and add the terms in brackets.
        weight: Factor of the terms; officially 1.

    Shape:
        - maps: [N, C, H, W], each network with its own C, H and W; N is at least 2 in training
        - logits: [N, K]
        - target: [N]; a sample without a label has the teacher's prediction for its target class,
          and no part in CE

    Raises:
        ValueError: If an argument is out of range, there is no such stage, the numbers of classes
            differ, logits are dense (the proxies are of pooled maps), BN meets
            a batch of one, or ``train_teacher`` meets a frozen teacher in training.
        RuntimeError: If it is called before :meth:`build`.

    Reference:
        Huo et al., "C2KD: Bridging the Modality Gap for Cross-Modal Knowledge Distillation",
        CVPR 2024, pp. 16006-16015 (not on arXiv); huofushuo/C2KD, cramed/utils/helper.py and
        module.py (Tea, Stu).

    Example:
        >>> maps = (torch.ones(2, 4, 8, 8),)
        >>> output = Output(torch.zeros(2, 8), torch.zeros(2, 3), maps)
        >>> loss = C2KDLoss(stage=0)
        >>> loss.build(output, output)
        >>> list(loss(output, output, torch.tensor([0, -100])))
        ['student', 'teacher', 'cross']
    """

    student_proxy: nn.Sequential | None
    teacher_proxy: nn.Sequential | None

    def __init__(
        self,
        stage: int = 2,
        threshold: float = 0.0,
        non_target: Literal["zero", "masked"] = "zero",
        train_teacher: bool = False,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not -1 <= threshold < 1:
            raise ValueError(
                f"threshold={threshold} must be in [-1, 1), as Kendall's tau is: for example 0"
            )
        _check_non_target(non_target)
        self.stage = stage
        self.threshold = threshold
        self.non_target = non_target
        self.train_teacher = train_teacher
        self.weight = weight
        self.student_proxy = None
        self.teacher_proxy = None

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the proxies for the stage's channels and the classes."""
        own, classes = self._map("student", student), student.logits.shape[1]
        if self.student_proxy is None:
            self.student_proxy = _proxy(own.shape[1], classes)
        if teacher is None:
            return
        require_same_shape("logits", student.logits, teacher.logits, CLASSES_REMEDY)
        if self.teacher_proxy is None:
            self.teacher_proxy = _proxy(self._map("teacher", teacher).shape[1], classes)

    def heads(self, student: Output) -> dict[str, Tensor]:
        """Logits of the student's proxy, once there is one."""
        if self.student_proxy is None:
            return {}
        return {"proxy": _logits(self.student_proxy, stage_map("student", student, self.stage))}

    def single_teacher_only(self) -> bool:
        """It does: so does its proxy."""
        return True

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted terms."""
        own = self._map("student", student)
        p_s = self._proxied(self.student_proxy, own)
        by_itself = kd_loss(p_s, student.logits, 1.0) + kd_loss(student.logits, p_s, 1.0)
        terms = {"student": self.weight * by_itself}
        if teacher is None:
            return terms
        require_same_shape("logits", student.logits, teacher.logits, CLASSES_REMEDY)
        teacher = self._teacher(teacher)
        p_t = self._proxied(self.teacher_proxy, self._map("teacher", teacher))
        of_teacher = kd_loss(p_t, teacher.logits, 1.0)
        if self.train_teacher:
            label = target if teacher.label is None else teacher.label
            of_teacher = of_teacher + kd_loss(teacher.logits, p_t, 1.0)
            of_teacher = of_teacher + cross_entropy(teacher.logits, label)
        chosen = label_or_prediction(target, teacher), rank_agreement(p_t, p_s) > self.threshold
        cross = non_target_kl(p_s, p_t, *chosen, self.non_target)
        cross = cross + non_target_kl(p_t, p_s, *chosen, self.non_target)
        return terms | {"teacher": self.weight * of_teacher, "cross": self.weight * cross}

    def _map(self, role: str, output: Output) -> Tensor:
        if output.logits.ndim != 2:
            raise ValueError(
                f"C2KDLoss takes logits [N, K], not {list(output.logits.shape)}: its proxies "
                "classify pooled maps. Choose a method of dense outputs, for example KDLoss"
            )
        return stage_map(role, output, self.stage)

    def _proxied(self, proxy: nn.Sequential | None, stage: Tensor) -> Tensor:
        if proxy is None:
            raise RuntimeError(
                "C2KDLoss has no proxies yet: call build(student, teacher) with the outputs of "
                "a batch before the first forward"
            )
        if self.training:
            why = "BatchNorm over a batch of one has nothing to normalise by"
            require_batch(self, len(stage), 2, why)
        return _logits(proxy, stage)

    def _teacher(self, teacher: Output) -> Output:
        if not self.train_teacher:
            maps = tuple(stage.detach() for stage in teacher.maps)
            return teacher._replace(logits=teacher.logits.detach(), maps=maps)
        if self.training and torch.is_grad_enabled() and not teacher.logits.requires_grad:
            raise ValueError(
                "train_teacher=True, but the teacher's logits have no gradient: set the "
                "DistillationModule's `train_teachers: true`, or train_teacher=False here"
            )
        return teacher


def _check_non_target(non_target: str) -> None:
    if non_target not in ("zero", "masked"):
        raise ValueError(f"non_target={non_target!r} is unknown: choose 'zero' or 'masked'")


def _leave_out(logits: Tensor, target: Tensor, non_target: str) -> Tensor:
    _check_non_target(non_target)
    if non_target == "zero":
        return logits.scatter(1, target.unsqueeze(1), 0.0)
    # The columns before the target, then those after it: K - 1 of each row.
    column = torch.arange(logits.shape[1] - 1, device=logits.device).expand(len(logits), -1)
    return logits.gather(1, column + (column >= target.unsqueeze(1)))


def _proxy(channels: int, classes: int) -> nn.Sequential:
    # On pooled maps a 1x1 convolution with BatchNorm2d is a linear layer with BatchNorm1d.
    linear = nn.Linear(channels, channels, bias=False)
    nn.init.kaiming_normal_(linear.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(
        linear, nn.BatchNorm1d(channels), nn.LeakyReLU(0.1), nn.Linear(channels, classes)
    )


def _logits(proxy: nn.Sequential, stage: Tensor) -> Tensor:
    """The proxy's logits of the pooled map, in float32."""
    dtype = torch.promote_types(stage.dtype, torch.float32)
    pooled = stage.to(dtype).mean((2, 3))
    logits: Tensor = proxy(pooled.to(next(proxy.parameters()).dtype))
    return logits.to(dtype)
