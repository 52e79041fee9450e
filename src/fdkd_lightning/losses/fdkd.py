"""FD-CMKD: low bands meet under a strong loss, high bands under a weak one."""

from typing import Literal

from torch import Tensor, nn

from fdkd_lightning.decoupler import Decoupler
from fdkd_lightning.losses.alignment import (
    SharedAlignmentHead,
    alignment_loss,
    scores_at,
    soft_alignment_loss,
)
from fdkd_lightning.losses.base import (
    PROJECTOR_REMEDY,
    DistillationLoss,
    require_same_shape,
    require_teacher,
)
from fdkd_lightning.losses.log_mse import LogMSELoss, signed_log1p
from fdkd_lightning.ops.normalize import standardize
from fdkd_lightning.types import Bands, Output


class FDKDLoss(DistillationLoss):
    r"""Feature disentanglement: strong consistency for low bands, weak for high, a shared space.

    .. math::
        L = \lambda_\mathrm{low} \, \ell_\mathrm{low}(\mathrm{Std}(X^s_\mathrm{low}),
        \mathrm{Std}(X^t_\mathrm{low}))
        + \lambda_\mathrm{high} \, \ell_\mathrm{high}(\mathrm{Std}(X^s_\mathrm{high}),
        \mathrm{Std}(X^t_\mathrm{high}))
        + L_\mathrm{align}

    Terms: ``low`` and ``high`` (with a teacher), ``align`` (with ``alignment``; without a teacher
    the student's half of it), ``soft`` (with ``lambda_soft`` and a teacher), ``heads`` (with
    ``band_heads``), and the decoupler's own.

    Args:
        decoupler: Splits both features into bands.
        alignment: Classifiers shared by teacher and student; None: no alignment term. The paper
            has it, with weight 1.
        low_loss: Distance of the low bands, a mean over all elements; None: MSE (Eq. 8).
        high_loss: Distance of the high bands, likewise; None: :class:`LogMSELoss` (Eq. 9), or MSE
            where ``log`` has compressed them before.
        band_heads: Classifiers of the student's bands alone, added to the task loss. Not in the
            paper; the published code has them, and reports the best of its three heads.
        standardize: ``"band"`` standardises each band after the split (paper and code);
            ``"feature"`` the whole feature before it (an independent re-implementation);
            ``"none"`` nothing.
        reduction: ``"mean"`` averages over N and D (Eq. 8-9). Between vectors of unit length that
            is at most 4/D, far below any cross-entropy. ``"sum"`` sums over D and averages over
            N: the same with lambdas D times as large, whatever D is.
        unit: What standardised vectors have: ``"length"`` 1 (Eq. 7), so that their elements are
            near 1/sqrt(D), where the logarithm changes them by a few per cent; or ``"variance"``
            1, which is sqrt(D) times as large, where it weakens the high bands as it is meant to.
        log: Where the high bands' logarithm is: ``"after"`` standardising, in ``high_loss``
            (Eq. 9 and code); ``"before"`` it, on the bands as they were split. It makes a
            difference where bands are standardised.
        lambda_low: Weight of the low term; None leaves it out. The paper does not tell; the
            published code has 1.
        lambda_high: Weight of the high term, likewise.
        lambda_soft: Weight of the shared classifiers' learning from the teacher's soft predictions
            on pairs without a label; None: off, as in the paper.
        soft_temperature: The temperature of these predictions.

    Shape:
        - features: [N, D], [N, D, H, W] or, of tokens, [N, D, 1, L], the same for both
        - target: [N], also of maps and tokens, whose class scores are then averaged over their
          positions; or [N, H, W]

    Raises:
        ValueError: If an option is unknown, nothing is left of the loss, ``lambda_soft`` has no
            shared classifiers, the features' shapes differ, or there is neither a teacher nor a
            term that can do without.

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 1-10; ``zxn0710/re-FD-CMKD-main`` where "code" is said.

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
        standardize: Literal["band", "feature", "none"] = "band",
        reduction: Literal["mean", "sum"] = "mean",
        unit: Literal["length", "variance"] = "length",
        log: Literal["after", "before"] = "after",
        lambda_low: float | None = 1.0,
        lambda_high: float | None = 1.0,
        lambda_soft: float | None = None,
        soft_temperature: float = 1.0,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("standardize", standardize, ("band", "feature", "none")),
            ("reduction", reduction, ("mean", "sum")),
            ("unit", unit, ("length", "variance")),
            ("log", log, ("after", "before")),
        ):
            if value not in known:
                raise ValueError(f"{name}={value!r} is unknown: choose one of {', '.join(known)}")
        if lambda_low is None and lambda_high is None and not (alignment or band_heads):
            raise ValueError(
                "lambda_low=None, lambda_high=None and no classifiers leave no term: give one of "
                "them, or alignment=SharedAlignmentHead()"
            )
        if lambda_soft is not None and alignment is None:
            raise ValueError(
                f"lambda_soft={lambda_soft} weighs what shared classifiers learn, and there are "
                "none: give alignment=SharedAlignmentHead()"
            )
        if soft_temperature <= 0:
            raise ValueError(f"soft_temperature={soft_temperature} must be above 0, for example 1")
        self.decoupler = decoupler
        self.alignment = alignment
        self.low_loss = nn.MSELoss() if low_loss is None else low_loss
        weak = nn.MSELoss() if log == "before" else LogMSELoss()
        self.high_loss = weak if high_loss is None else high_loss
        self.band_heads = band_heads
        self.standardize = standardize
        self.reduction = reduction
        self.unit = unit
        self.log = log
        self.lambda_low = lambda_low
        self.lambda_high = lambda_high
        self.lambda_soft = lambda_soft
        self.soft_temperature = soft_temperature

    def build(self, student: Output, teacher: Output | None) -> None:
        """Size the classifiers by the features and logits of one batch."""
        dim, features = self.decoupler.dim, student.features
        if dim % features.ndim != 1 and (self.alignment or self.band_heads):
            raise ValueError(
                f"decoupler.dim={dim} of features {list(features.shape)}: alignment and band_heads "
                "classify along dim 1; use that, or leave them out"
            )
        size = features.shape[dim]
        for head in (self.alignment, self.band_heads):
            if head is not None:
                head.build(size, student.logits.shape[1])

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted terms."""
        if self.alignment is None and self.band_heads is None:
            require_teacher(self, teacher)
        own = self.decoupler(student.features)
        its: Bands | None = None
        terms: dict[str, Tensor] = {}
        if teacher is not None:
            features = teacher.features.detach()
            require_same_shape("features", student.features, features, PROJECTOR_REMEDY)
            its = self.decoupler(features)
            terms = self._distances(student.features, own, features, its)
        if self.alignment is not None:
            scores = self.alignment(own)
            shared = None if its is None else self.alignment(its)
            label = None if teacher is None else teacher.label
            terms["align"] = alignment_loss(scores, shared, target, label)
            if self.lambda_soft is not None and teacher is not None and shared is not None:
                terms["soft"] = self.lambda_soft * soft_alignment_loss(
                    scores, shared, teacher.logits, target, label, self.soft_temperature
                )
        if self.band_heads is not None:
            terms["heads"] = alignment_loss(self.band_heads(own), None, target)
        # At the scale of the distances, which they keep in check.
        scale = self._scale(student.features)
        more = {name: scale * term for name, term in self.decoupler.terms().items()}
        if not more.keys().isdisjoint(terms):
            raise ValueError(
                f"{type(self.decoupler).__name__} names a term {', '.join(more.keys() & terms)}, "
                "which is the loss's own: give it another name"
            )
        return terms | more

    def logged_values(self) -> dict[str, Tensor]:
        """What the decoupler has to show, such as a learned cut-off."""
        return self.decoupler.logged_values()

    def heads(self, student: Output) -> dict[str, Tensor]:
        """Logits of the classifiers on the student's bands, of the size of the student's own."""
        own = self.decoupler(student.features)
        return {
            f"{name}_{band}": scores_at(logits, student.logits.shape[2:])
            for name, head in (("align", self.alignment), ("heads", self.band_heads))
            if head is not None
            for band, logits in head(own)._asdict().items()
        }

    def _distances(
        self, student: Tensor, own: Bands, teacher: Tensor, its: Bands
    ) -> dict[str, Tensor]:
        own, its = self._comparable(student, own), self._comparable(teacher, its)
        scale = self._scale(student)
        terms = {}
        if self.lambda_low is not None:
            terms["low"] = self.lambda_low * scale * self.low_loss(own.low, its.low)
        if self.lambda_high is not None:
            terms["high"] = self.lambda_high * scale * self.high_loss(own.high, its.high)
        return terms

    def _scale(self, features: Tensor) -> int:
        # The distances are means over all elements; times D they are sums over the channels.
        return features.shape[self.decoupler.dim] if self.reduction == "sum" else 1

    def _comparable(self, features: Tensor, bands: Bands) -> Bands:
        if self.standardize == "feature":
            bands = self.decoupler(self._standard(features, features))
        if self.standardize == "band":
            low, high, source = bands.low, bands.high, features
            if self.log == "before":
                high, source = signed_log1p(high), signed_log1p(features)
            return Bands(self._standard(low, features), self._standard(high, source))
        if self.log == "before":
            return bands._replace(high=signed_log1p(bands.high))
        return bands

    def _standard(self, x: Tensor, source: Tensor) -> Tensor:
        dim = self.decoupler.dim
        size = x.shape[dim] ** 0.5 if self.unit == "variance" else 1.0
        return size * standardize(x, dim, source=source)
