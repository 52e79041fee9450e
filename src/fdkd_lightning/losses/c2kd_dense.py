"""C2KD for segmentation: proxies of the decoder's map, and pixels chosen by the rank of classes."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from fdkd_lightning.losses.alignment import scores_at
from fdkd_lightning.losses.base import DistillationLoss, label_or_prediction
from fdkd_lightning.losses.c2kd import detach_unless_trained, mask_like
from fdkd_lightning.losses.non_target import NonTarget, non_target_divergence
from fdkd_lightning.losses.outputs import stage_map
from fdkd_lightning.losses.pixel_proxy import PixelProxy
from fdkd_lightning.losses.pixels import (
    Void,
    check_label_maps,
    labels_at,
    mean_of,
    pixel_rows,
    zero_where_void,
)
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
from fdkd_lightning.ops.divergence import check_logits, check_masks, softened_kl
from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import IGNORE_INDEX, Output

Selection = Literal["pixel", "image", "published"]
"""Select pixels by their own agreement, images by the mean over their pixels, or (published code)
everything if one image of the batch would be selected."""

LARGEST = 2**25
"""Pairs of classes whose order is compared at once."""


class DenseC2KDLoss(DistillationLoss):
    r"""Customised cross-modal distillation of pixels through proxies, in both directions.

    The terms are those of :class:`C2KDLoss` with pixels in the place of samples: ``student``,
    ``teacher`` and ``cross``. A proxy classifies each position of a network's decoder map (1x1
    convolution, BatchNorm, activation, 1x1 convolution), and its scores are interpolated bilinearly
    to the size of the logits.

    Means run over the pixels with a label, of all ranks. Others take no part, neither in BatchNorm
    nor in the agreement of an image; without any label all terms are 0. ``void="keep"`` includes
    pixels without a label, with the teacher's prediction as their class. That suits images without
    labels among labelled ones.

    It may take as long as the step of a small student: proxies, rank agreement (K^2 comparisons a
    pixel) and divergences are computed at the size of the logits.

    The published code differs in two ways. ``selection="published"``: it averages the agreement
    over an image's pixels, and uses the result only to drop ``cross`` if no image of the batch
    exceeds the threshold. And it trains the teacher, as with ``train_teacher``. Its proxies have
    the activation ``nn.ReLU()``.

    Args:
        stage: Index into ``Output.maps`` of the proxies' input; None: ``Output.features``, the
            decoder's map.
        threshold: Kendall's tau-b of what is selected exceeds this, in [-1, 1).
        non_target: ``"zero"`` (official code) or ``"masked"``; see :func:`non_target_kl`.
        selection: What is selected: ``"pixel"``, ``"image"`` or ``"published"``.
        train_teacher: Pass gradients to the teacher, and add the terms that train only it.
        void: ``"exclude"`` or ``"keep"``, see above.
        weight: Factor of all terms.
        activation: Activation of the proxies, copied for each; None: LeakyReLU(0.1), as of
            :class:`C2KDLoss`.

    Shape:
        - features: [N, D, H', W'], each network with its own D, H' and W'
        - logits: [N, K, H, W], the same for both
        - target: [N, H, W], -100 where there is no label

    Raises:
        ValueError: If an argument is out of range, outputs are no maps, the numbers of classes
            differ, or with ``train_teacher`` the teacher is frozen in training.
        RuntimeError: If it is called before :meth:`build`.

    Reference:
        Huo et al., C2KD (CVPR 2024); Gray-OREO/MST-Distill, main-C2KD.py and KD_methods/C2KD.py
        (ProxyNet_resoFixed, image_level_kendalltau, ntkl_ss), for NYU Depth V2.

    Example:
        >>> output = Output(torch.ones(1, 4, 2, 2), torch.zeros(1, 3, 4, 4))
        >>> loss = DenseC2KDLoss()
        >>> loss.build(output, output)
        >>> list(loss(output, output, torch.zeros(1, 4, 4, dtype=torch.long)))
        ['student', 'teacher', 'cross']
    """

    student_proxy: PixelProxy | None
    teacher_proxy: PixelProxy | None

    def __init__(
        self,
        stage: int | None = None,
        threshold: float = 0.0,
        non_target: NonTarget = "zero",
        selection: Selection = "pixel",
        train_teacher: bool = False,
        void: Void = "exclude",
        weight: float = 1.0,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if stage is not None:
            check_count("stage", stage, None, example=2)
        check_range("threshold", threshold, -1, below=1, example=0)
        check_choice("non_target", non_target, get_args(NonTarget))
        check_choice("selection", selection, get_args(Selection))
        check_flags(train_teacher=train_teacher)
        check_choice("void", void, get_args(Void))
        check_weights(weight=weight)
        self.stage = stage
        self.threshold = threshold
        self.non_target = non_target
        self.selection = selection
        self.train_teacher = train_teacher
        self.void = void
        self.weight = weight
        # In a tuple, so that it is no part of the loss beside its copies in the proxies.
        self._activation = (nn.LeakyReLU(0.1) if activation is None else activation,)
        self.student_proxy = self.teacher_proxy = None

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the proxies for the maps' channels and the number of classes."""
        classes = student.logits.shape[1]
        if self.student_proxy is None:
            channels = self._map("student", student).shape[1]
            self.student_proxy = PixelProxy(channels, classes, *self._activation)
        if teacher is None:
            return
        check_logits(student.logits, teacher.logits)
        if self.teacher_proxy is None:
            channels = self._map("teacher", teacher).shape[1]
            self.teacher_proxy = PixelProxy(channels, classes, *self._activation)

    def heads(self, student: Output) -> dict[str, Tensor]:
        """Return the logits of the student's proxy, once it is built."""
        if self.student_proxy is None:
            return {}
        counted = torch.ones_like(student.logits[:, 0], dtype=torch.bool)
        return {"proxy": self._scores("student", student, counted)}

    def tasks(self) -> tuple[type[Task], ...]:
        """Return the task of a softmax."""
        return (OneClassTask,)

    def single_teacher_only(self) -> bool:
        """Return True: one proxy belongs to the teacher."""
        return True

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms."""
        check_label_maps("target", target, student.logits)
        counted = target != IGNORE_INDEX
        if self.void == "keep":
            counted = torch.ones_like(counted)
        p_s = self._scores("student", student, counted)
        terms = {"student": self._mutual(p_s, student.logits, counted, both=True)}
        if teacher is not None:
            check_logits(student.logits, teacher.logits)
            check_masks(student.logits, teacher.logits)
            teacher = detach_unless_trained(teacher, self.train_teacher, self.training)
            p_t = self._scores("teacher", teacher, counted)
            terms["teacher"] = self._mutual(p_t, teacher.logits, counted, self.train_teacher)
            if self.train_teacher:
                label = target if teacher.label is None else teacher.label
                terms["teacher"] = terms["teacher"] + cross_entropy(teacher.logits, label)
            classes = label_or_prediction(target, teacher).flatten()
            terms["cross"] = self._cross(p_s, p_t, classes, counted)
        return {name: self.weight * term for name, term in terms.items()}

    def _mutual(self, proxy: Tensor, logits: Tensor, counted: Tensor, both: bool) -> Tensor:
        """The proxy learns from its network and, with ``both``, the network from its proxy."""
        proxy, logits = (zero_where_void(x, counted) for x in (proxy, logits))
        term = softened_kl(proxy, logits, reduction="none")
        if both:
            term = term + softened_kl(logits, mask_like(proxy, logits), reduction="none")
        return mean_of(term, counted)

    def _cross(self, p_s: Tensor, p_t: Tensor, classes: Tensor, counted: Tensor) -> Tensor:
        student, teacher = pixel_rows(p_s), pixel_rows(p_t)
        divergence = non_target_divergence(student, teacher, classes, self.non_target)
        back = non_target_divergence(teacher, student, classes, self.non_target)
        divergence = (divergence + back).view_as(counted)
        selected = self._selected(student, teacher, counted)
        return mean_of(divergence * selected, counted)

    @torch.no_grad()
    def _selected(self, student: Tensor, teacher: Tensor, counted: Tensor) -> Tensor:
        rows = max(LARGEST // student.shape[1] ** 2, 1)
        pairs = zip(torch.split(teacher, rows), torch.split(student, rows), strict=True)
        agreement = torch.cat([rank_agreement(*pair) for pair in pairs]).view_as(counted)
        if self.selection == "pixel":
            return agreement > self.threshold
        # A pixel without an order of classes agrees with nothing, and has an agreement of 0.
        known = agreement.where(counted & agreement.isfinite(), 0.0).flatten(1).sum(1)
        sizes = counted.flatten(1).sum(1)
        selected = (known / sizes.clamp_min(1) > self.threshold) & (sizes > 0)
        if self.selection == "published":
            selected = selected.any().expand_as(selected)
        return selected.view(-1, 1, 1)

    def _map(self, role: str, output: Output) -> Tensor:
        if output.logits.ndim != 4:
            raise ValueError(
                f"DenseC2KDLoss takes logits [N, K, H, W], not {list(output.logits.shape)}: for "
                "class scores of whole samples choose C2KDLoss"
            )
        maps = (output.features,) if self.stage is None else output.maps
        return stage_map(role, output._replace(maps=maps), 0 if self.stage is None else self.stage)

    def _scores(self, role: str, output: Output, counted: Tensor) -> Tensor:
        """The proxy's logits at the size of the network's, in float32."""
        proxy = self.student_proxy if role == "student" else self.teacher_proxy
        found = self._map(role, output)
        if proxy is None:
            raise RuntimeError(
                "DenseC2KDLoss has no proxies yet: call build(student, teacher) with the outputs "
                "of a batch before the first forward"
            )
        positions = labels_at(counted.long(), found.shape[2:]).bool()
        x = zero_where_void(at_least_float32(found), positions)
        return scores_at(proxy(x, positions), output.logits.shape[2:])
