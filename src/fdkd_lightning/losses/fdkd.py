"""FD-CMKD: a strong distance for low-frequency bands, a weak one for high-frequency bands."""

from typing import Any, get_args

import torch
from torch import Tensor, nn

from fdkd_lightning.decoupler import Decoupler
from fdkd_lightning.losses.aligned_comparison import aligned_comparison
from fdkd_lightning.losses.alignment import SharedAlignmentHead, alignment_loss, scores_at
from fdkd_lightning.losses.band_comparison import BandComparison
from fdkd_lightning.losses.base import DistillationLoss, require_teacher
from fdkd_lightning.losses.labelled_positions import LabelledPositions
from fdkd_lightning.losses.log_mse import LogMSELoss
from fdkd_lightning.losses.outputs import PROJECTOR_REMEDY, require_same_shape
from fdkd_lightning.losses.pixels import Void
from fdkd_lightning.losses.reduction import ChannelReduction, MeanOverChannels
from fdkd_lightning.losses.stacked_alignment import (
    stacked_alignment_loss,
    stacked_soft_alignment_loss,
)
from fdkd_lightning.losses.standardizer import Standardizer, UnitLength
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.checks import check_choice, check_optional_weights, check_range
from fdkd_lightning.types import Bands, Output


class FDKDLoss(DistillationLoss):
    r"""Frequency-decoupled distillation: one distance per band, and classifiers shared by both.

    .. math::
        L = \lambda_\mathrm{low} \, \ell_\mathrm{low}(\mathrm{Std}(X^s_\mathrm{low}),
        \mathrm{Std}(X^t_\mathrm{low}))
        + \lambda_\mathrm{high} \, \ell_\mathrm{high}(\mathrm{Std}(X^s_\mathrm{high}),
        \mathrm{Std}(X^t_\mathrm{high}))
        + L_\mathrm{align}

    Terms: ``low`` and ``high`` (with a teacher), ``align`` (with ``alignment``; without a teacher
    only the student's cross-entropies), ``soft`` (with ``lambda_soft`` and a teacher), ``heads``
    (with ``band_heads``), and the terms of the decoupler. The defaults are the paper's method at
    its published scale.

    Args:
        decoupler: Splits both features into bands (Eq. 1-3).
        alignment: Classifiers shared by teacher and student (Eq. 10); None: no alignment term. The
            paper has them, with weight 1. They learn with the task loss, whatever the labels mean.
        low_loss: Mean distance of the standardised low bands' elements; None: MSE (Eq. 8).
        high_loss: That of the high bands; None: :class:`LogMSELoss` (Eq. 9).
        band_heads: Classifiers of the student's bands, added to the task loss. They are not in the
            paper; the published code has them and reports the best of its three heads.
        band_standardizer: Standardises each band (Eq. 7); None: :class:`UnitLength`.
        feature_standardizer: Standardises the feature before the split, for the distances only, as
            in an independent re-implementation (with :class:`Unstandardized` bands); None: nothing.
        high_transform: Applied to the high bands before they are standardised, such as
            :class:`SignedLog1p` with ``high_loss=MSELoss()``; None: nothing, as in the paper, where
            the logarithm comes after standardisation, inside ``high_loss``.
        channel_reduction: Reduction of distances and decoupler terms over the channels; None:
            :class:`MeanOverChannels` (Eq. 8-9). :class:`SumOverChannels` brings the distances to
            the scale of a cross-entropy.
        lambda_low: Weight of the low term; None leaves it out. Not in the paper; 1 in its code.
        lambda_high: Weight of the high term; None leaves it out. As for the low one.
        lambda_soft: Weight of the term in which the shared classifiers learn the teacher's
            predictions on unlabelled samples; None: no such term, as in the paper.
        soft_temperature: Softmax temperature of these predictions, above 0.
        void: ``"keep"`` compares all positions; ``"exclude"``, for maps, those with a label.

    Shape:
        - features: [N, D], [N, D, H, W], or [N, D, 1, L] for tokens; the same for both networks
        - target: [N], also with maps and tokens, whose class scores are then averaged over
          positions; or [N, H, W]
        - each term: scalar

    Raises:
        ValueError: If no term is left, ``lambda_soft`` is given without ``alignment``, an argument
            is out of range, the shapes differ, a term of the decoupler has the name of another, or
            there is no teacher and no term without one.

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 1-10. "The published code" is ``zxn0710/re-FD-CMKD-main``,
        "an independent re-implementation" is ``Eldoardo26/Sign-Language-Recognition``.

    Example:
        >>> import torch
        >>> from fdkd_lightning.decoupler import FrequencyDecoupler
        >>> criterion = FDKDLoss(FrequencyDecoupler(), SharedAlignmentHead(8, 3))
        >>> student, teacher = (Output(torch.randn(2, 8), torch.zeros(2, 3)) for _ in range(2))
        >>> list(criterion(student, teacher, torch.tensor([0, -100])))
        ['low', 'high', 'align']
    """

    def __init__(
        self,
        decoupler: Decoupler,
        alignment: SharedAlignmentHead | None = None,
        low_loss: nn.Module | None = None,
        high_loss: nn.Module | None = None,
        band_heads: SharedAlignmentHead | None = None,
        band_standardizer: Standardizer | None = None,
        feature_standardizer: Standardizer | None = None,
        high_transform: nn.Module | None = None,
        channel_reduction: ChannelReduction | None = None,
        lambda_low: float | None = 1.0,
        lambda_high: float | None = 1.0,
        lambda_soft: float | None = None,
        soft_temperature: float = 1.0,
        void: Void = "keep",
    ) -> None:
        super().__init__()
        check_optional_weights(
            lambda_low=lambda_low, lambda_high=lambda_high, lambda_soft=lambda_soft
        )
        if lambda_low is None and lambda_high is None and not (alignment or band_heads):
            raise ValueError(
                "lambda_low=None, lambda_high=None and no classifiers leave no term: give one of "
                "them, or alignment=SharedAlignmentHead()"
            )
        if lambda_soft is not None and alignment is None:
            raise ValueError(
                f"lambda_soft={lambda_soft} weights a term of the shared classifiers, and there "
                "are none: give alignment=SharedAlignmentHead()"
            )
        check_range("soft_temperature", soft_temperature, above=0, example=1)
        check_choice("void", void, get_args(Void))
        self.decoupler = decoupler
        self.alignment = alignment
        self.low_loss = nn.MSELoss() if low_loss is None else low_loss
        self.high_loss = LogMSELoss() if high_loss is None else high_loss
        self.band_heads = band_heads
        self.band_standardizer = UnitLength() if band_standardizer is None else band_standardizer
        self.feature_standardizer = feature_standardizer
        self.high_transform = high_transform
        self.channel_reduction = channel_reduction or MeanOverChannels()
        self.lambda_low = lambda_low
        self.lambda_high = lambda_high
        self.lambda_soft = lambda_soft
        self.soft_temperature = soft_temperature
        self.void = void
        self.task: Task = OneClassTask()

    def tasks(self) -> tuple[type[Task], ...]:
        """Return all; one class per sample with ``lambda_soft`` or ``void="exclude"``."""
        by_class = self.lambda_soft is not None or self.void == "exclude"
        return (OneClassTask,) if by_class else (Task,)

    def set_task(self, task: Task) -> None:
        """Set the loss of the classifiers."""
        super().set_task(task)
        self.task = task

    def build(self, student: Output, teacher: Output | None) -> None:
        """Create the classifiers for the features and logits of one batch."""
        dim, features = self.decoupler.dim, student.features
        if dim % features.ndim != 1 and (self.alignment or self.band_heads):
            raise ValueError(
                f"decoupler.dim={dim} of features {list(features.shape)}: alignment and band_heads "
                "classify along dim 1; use that, or leave them out"
            )
        for head in (self.alignment, self.band_heads):
            if head is not None:
                head.build(features.shape[dim], *(student.logits.shape[1:2] or (1,)))

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Compute the weighted terms."""
        if teacher is None and not (self.alignment or self.band_heads):
            require_teacher(self, teacher)
        labelled = LabelledPositions(target, student.features) if self.void == "exclude" else None
        if labelled is not None:
            student, teacher = labelled.select(student), teacher and labelled.select(teacher)
        decoupler = self.decoupler
        scale = self.channel_reduction(student.features.shape[decoupler.dim])
        terms: dict[str, Tensor] = {}
        if teacher is not None:
            low, high, align, bands = self._compare(student, teacher, target, labelled)
            for name, w, value in (("low", self.lambda_low, low), ("high", self.lambda_high, high)):
                if w is not None:
                    # A product, and its gradient, is a twentieth of a small loss.
                    terms[name] = value if w * scale == 1 else w * scale * value
            terms |= {} if align is None else {"align": align}
        else:
            bands = torch.stack(decoupler(student.features))  # Eq. 1-3
        if bands is not None:
            terms |= self._classify(bands, student, teacher, target)
        # At the scale of the distances, which these terms regularise.
        more = {name: scale * term for name, term in decoupler.terms().items()}
        if taken := more.keys() & terms:
            raise ValueError(
                f"{type(decoupler).__name__} names a term {', '.join(taken)}, which is a term of "
                "FDKDLoss: give it another name"
            )
        return terms | more

    def logged_values(self) -> dict[str, Tensor]:
        """Return the decoupler's logged values, such as a learned cut-off frequency."""
        return self.decoupler.logged_values()

    def heads(self, student: Output) -> dict[str, Tensor]:
        """Compute the logits of the band classifiers, at the resolution of the student's logits."""
        student_bands = self.decoupler(student.features)
        return {
            f"{name}_{band}": scores_at(logits, student.logits.shape[2:])
            for name, head in (("align", self.alignment), ("heads", self.band_heads))
            if head is not None
            for band, logits in head(student_bands)._asdict().items()
        }

    def _compare(
        self, student: Output, teacher: Output, target: Tensor, labelled: LabelledPositions | None
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Both distances, and the alignment term or the bands that classifiers need for theirs."""
        own, its = student.features, teacher.features.detach()
        if own.shape != its.shape:
            require_same_shape("features", own, its, PROJECTOR_REMEDY)
        # Of a loss that takes half a millisecond, each attribute of a module takes a thousandth.
        parts: dict[str, Any] = self._modules
        compare = BandComparison(
            parts["decoupler"],
            parts["low_loss"],
            parts["high_loss"],
            parts["band_standardizer"],
            self.feature_standardizer,
            self.high_transform,
        )
        alignment, band_heads = parts.get("alignment"), self.band_heads
        apart = band_heads or labelled or self.lambda_soft is not None or teacher.label is not None
        if alignment is not None and not apart:
            terms = aligned_comparison(compare, alignment, own, its, target, parts["task"])
            if terms is not None:
                return *terms, None
        low, high, bands = compare(own, its, labelled, bool(alignment or band_heads))
        return low, high, None, bands

    def _classify(
        self, bands: Tensor, student: Output, teacher: Output | None, target: Tensor
    ) -> dict[str, Tensor]:
        """Terms of the classifiers; the student's bands come first, the teacher's follow."""
        terms: dict[str, Tensor] = {}
        alignment, band_heads, task = self.alignment, self.band_heads, self.task
        if alignment is not None and teacher is None:
            terms["align"] = alignment_loss(alignment(Bands(*bands)), None, target, task=task)
        elif alignment is not None and teacher is not None:  # Eq. 10
            terms["align"] = stacked_alignment_loss(alignment, bands, target, teacher.label, task)
            if self.lambda_soft is not None:
                terms["soft"] = self.lambda_soft * stacked_soft_alignment_loss(
                    alignment, bands, teacher, target, self.soft_temperature
                )
        if band_heads is not None:
            scores = band_heads(Bands(*bands[:, : len(student.features)]))
            terms["heads"] = alignment_loss(scores, None, target, task=task)
        return terms
