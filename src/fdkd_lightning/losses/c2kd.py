"""C2KD: both networks learn from proxies, on samples where these rank the classes alike."""

import copy
from typing import cast, get_args

import torch
from torch import Tensor, nn

from fdkd_lightning.losses.base import DistillationLoss, label_or_prediction
from fdkd_lightning.losses.kd import kd_loss
from fdkd_lightning.losses.non_target import NonTarget, non_target_kl
from fdkd_lightning.losses.outputs import require_batch, stage_map
from fdkd_lightning.losses.pixels import check_width
from fdkd_lightning.losses.rank_agreement import rank_agreement
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.checks import (
    check_choice,
    check_count,
    check_flags,
    check_range,
    check_weights,
)
from fdkd_lightning.ops.cross_entropy import cross_entropy
from fdkd_lightning.ops.divergence import check_logits, check_masks
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Output


class C2KDLoss(DistillationLoss):
    r"""Customised cross-modal distillation through proxies, in both directions.

    Each network has a proxy classifier, :math:`p = \mathrm{Lin}(\mathrm{LeakyReLU}_{0.1}(
    \mathrm{BN}(W \, \mathrm{GAP}(f))))`, of the map f of one stage. Where a network masks a class
    (-inf), its proxy is compared with it without that class. :math:`\bar x` is x without
    gradient, KL(x || y) the divergence of their softmax (T = 1, mean over the batch) and N(y, x)
    is :func:`non_target_kl`. The terms are

    .. math::
        \text{student} &= \mathrm{KL}(\bar z_s \| p_s) + \mathrm{KL}(\bar p_s \| z_s) \\
        \text{teacher} &= \mathrm{KL}(\bar z_t \| p_t)
        \; [+ \; \mathrm{KL}(\bar p_t \| z_t) + \mathrm{CE}(z_t, y)] \\
        \text{cross} &= N(p_s, \bar p_t) + N(p_t, \bar p_s)

    where N selects the samples whose :func:`rank_agreement` of p_t and p_s exceeds the threshold; a
    constant row is not selected.
    CE(z_s, y) of the official sum is the module's task loss.

    In the paper the pre-trained teacher is trained together with the student. This needs
    ``train_teacher`` here and ``train_teachers`` of the module. By default the teacher is frozen,
    as for all other losses, and the terms in brackets, which would train only it, are left out.

    Without a teacher the term ``student`` remains: the student and its proxy learn from each other.

    Args:
        stage: Index into ``Output.maps`` of the proxies' input; the official layer3 is stage 2.
        threshold: Kendall's tau-b of a selected sample exceeds this, in [-1, 1). The official code
            sets 0: more pairs of classes in the same order than in reverse.
        non_target: ``"zero"`` (official code) or ``"masked"``; see :func:`non_target_kl`.
        train_teacher: Pass gradients to the teacher, and add the terms in brackets.
        weight: Factor of all terms; the official code sets 1.
        activation: Activation of the proxies, copied for each; None: LeakyReLU(0.1), as for CREMA-D
            and AVE. For VGGSound the official code has ``nn.ReLU()``.

    Shape:
        - maps: [N, C, H, W]; C, H and W may differ between the networks; N at least 2 in training
        - logits: [N, K], the same for both
        - target: [N]; an unlabelled sample (-100) has the teacher's prediction, and no part in CE

    Raises:
        ValueError: If an argument is out of range, there is no such stage, the numbers of classes
            differ, logits are dense (the proxies classify pooled maps), a batch of one is given in
            training (BatchNorm), or with ``train_teacher`` the teacher is frozen in training.
        RuntimeError: If it is called before :meth:`build`.

    Reference:
        Huo et al., "C2KD: Bridging the Modality Gap for Cross-Modal Knowledge Distillation",
        CVPR 2024, pp. 16006-16015 (not on arXiv); huofushuo/C2KD, cramed/utils/helper.py and
        module.py (Tea, Stu); vggsound/utils/module.py (ReLU).

    Example:
        >>> output = Output(torch.zeros(2, 8), torch.zeros(2, 3), (torch.ones(2, 4, 8, 8),))
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
        non_target: NonTarget = "zero",
        train_teacher: bool = False,
        weight: float = 1.0,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_count("stage", stage, None, example=2)
        check_flags(train_teacher=train_teacher)
        check_weights(weight=weight)
        check_range("threshold", threshold, -1, below=1, example=0)
        check_choice("non_target", non_target, get_args(NonTarget))
        self.stage = stage
        self.threshold = threshold
        self.non_target = non_target
        self.train_teacher = train_teacher
        self.weight = weight
        # In a tuple, so that it is no part of the loss beside its copies in the proxies.
        self._activation = (nn.LeakyReLU(0.1) if activation is None else activation,)
        self.student_proxy = None
        self.teacher_proxy = None

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the proxies for the stage's channels and the number of classes."""
        student_map, classes = self._map("student", student), student.logits.shape[1]
        if self.student_proxy is None:
            self.student_proxy = _proxy(student_map.shape[1], classes, *self._activation)
        if teacher is None:
            return
        check_logits(student.logits, teacher.logits)
        if self.teacher_proxy is None:
            channels = self._map("teacher", teacher).shape[1]
            self.teacher_proxy = _proxy(channels, classes, *self._activation)

    def heads(self, student: Output) -> dict[str, Tensor]:
        """Return the logits of the student's proxy, once it is built."""
        if self.student_proxy is None:
            return {}
        return {"proxy": _logits(self.student_proxy, stage_map("student", student, self.stage))}

    def tasks(self) -> tuple[type[Task], ...]:
        """Return the task of a softmax."""
        return (OneClassTask,)

    def single_teacher_only(self) -> bool:
        """Return True: one proxy belongs to the teacher."""
        return True

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms."""
        p_s = self._proxy_logits(self.student_proxy, self._map("student", student))
        student_term = kd_loss(p_s, student.logits, 1.0)
        student_term = student_term + kd_loss(student.logits, mask_like(p_s, student.logits), 1.0)
        terms = {"student": self.weight * student_term}
        if teacher is None:
            return terms
        check_logits(student.logits, teacher.logits)
        check_masks(student.logits, teacher.logits)
        teacher = detach_unless_trained(teacher, self.train_teacher, self.training)
        p_t = self._proxy_logits(self.teacher_proxy, self._map("teacher", teacher))
        teacher_term = kd_loss(p_t, teacher.logits, 1.0)
        if self.train_teacher:
            label = target if teacher.label is None else teacher.label
            teacher_term = teacher_term + kd_loss(
                teacher.logits, mask_like(p_t, teacher.logits), 1.0
            )
            teacher_term = teacher_term + cross_entropy(teacher.logits, label)
        classes = label_or_prediction(target, teacher)
        selected = rank_agreement(p_t, p_s) > self.threshold
        cross = non_target_kl(p_s, p_t, classes, selected, self.non_target)
        cross = cross + non_target_kl(p_t, p_s, classes, selected, self.non_target)
        return terms | {"teacher": self.weight * teacher_term, "cross": self.weight * cross}

    def _map(self, role: str, output: Output) -> Tensor:
        if output.logits.ndim != 2:
            raise ValueError(
                f"C2KDLoss takes logits [N, K], not {list(output.logits.shape)}: its proxies "
                "classify pooled maps. For class scores of pixels choose DenseC2KDLoss"
            )
        return stage_map(role, output, self.stage)

    def _proxy_logits(self, proxy: nn.Sequential | None, stage: Tensor) -> Tensor:
        if proxy is None:
            raise RuntimeError(
                "C2KDLoss has no proxies yet: call build(student, teacher) with the outputs of "
                "a batch before the first forward"
            )
        if self.training:
            require_batch(self, len(stage), 2, "BatchNorm needs more than one value per channel")
        return _logits(proxy, stage)


def detach_unless_trained(teacher: Output, train_teacher: bool, training: bool) -> Output:
    """Return the teacher's output without gradient, or check that it has one.

    Args:
        teacher: The teacher's output.
        train_teacher: Whether the loss trains the teacher.
        training: Whether the loss is in training mode.

    Raises:
        ValueError: If the teacher is to be trained, and its logits have no gradient.
    """
    if not train_teacher:
        maps = tuple(stage.detach() for stage in teacher.maps)
        return teacher._replace(
            features=teacher.features.detach(), logits=teacher.logits.detach(), maps=maps
        )
    if training and torch.is_grad_enabled() and not teacher.logits.requires_grad:
        raise ValueError(
            "train_teacher=True, but the teacher's logits have no gradient: set the "
            "DistillationModule's `train_teachers: true`, or train_teacher=False here"
        )
    return teacher


def mask_like(proxy: Tensor, logits: Tensor) -> Tensor:
    """Mask the classes of a proxy that its network masks (-inf)."""
    return proxy.masked_fill(logits == -torch.inf, -torch.inf)


def _proxy(channels: int, classes: int, activation: nn.Module) -> nn.Sequential:
    # On pooled maps a 1x1 convolution with BatchNorm2d is a linear layer with BatchNorm1d.
    linear = nn.Linear(channels, channels, bias=False)
    nn.init.kaiming_normal_(linear.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(
        linear,
        nn.BatchNorm1d(channels),
        copy.deepcopy(activation),
        nn.Linear(channels, classes),
    )


def _logits(proxy: nn.Sequential, stage: Tensor) -> Tensor:
    """The proxy's logits of the pooled map, in float32."""
    pooled = at_least_float32(stage).mean((2, 3))
    check_width(pooled, cast(nn.Linear, proxy[0]).in_features)
    logits: Tensor = proxy(pooled.to(next(proxy.parameters()).dtype))
    return logits.to(pooled.dtype)
