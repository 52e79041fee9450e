"""FD-CMKD: low bands meet under a strong loss, high bands under a weak one."""

from typing import Literal

from torch import Tensor, nn

from fdkd_lightning.alignment import SharedAlignmentHead, alignment_loss
from fdkd_lightning.decoupler import Decoupler
from fdkd_lightning.losses.base import (
    PROJECTOR_REMEDY,
    DistillationLoss,
    require_same_shape,
    require_teacher,
)
from fdkd_lightning.losses.log_mse import LogMSELoss
from fdkd_lightning.losses.normalize import standardize
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
    the student's half of it), ``heads`` (with ``band_heads``).

    Args:
        decoupler: Splits both features into bands.
        alignment: Classifiers shared by teacher and student; None: no alignment term. The paper
            has it, with weight 1.
        low_loss: Distance of the low bands, a mean over all elements; None: MSE (Eq. 8).
        high_loss: Distance of the high bands, likewise; None: :class:`LogMSELoss` (Eq. 9).
        band_heads: Classifiers of the student's bands alone, added to the task loss. Not in the
            paper; the published code has them, and reports the best of its three heads.
        standardize: ``"band"`` standardises each band after the split (paper and code);
            ``"feature"`` the whole feature before it (an independent re-implementation);
            ``"none"`` nothing.
        reduction: ``"mean"`` averages over N and D (Eq. 8-9). Between vectors of unit length that
            is at most 4/D, far below any cross-entropy. ``"sum"`` sums over D and averages over
            N: the same with lambdas D times as large, whatever D is.
        lambda_low: Weight of the low term. The paper does not tell; the published code has 1.
        lambda_high: Weight of the high term, likewise.

    Shape:
        - features: [N, D] or [N, D, H, W], the same for both
        - target: [N] or [N, H, W]

    Raises:
        ValueError: If an option is unknown, the features' shapes differ, or there is neither a
            teacher nor a term that can do without.

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 1-10; ``zxn0710/re-FD-CMKD-main`` where "code" is said.

    Example:
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
        lambda_low: float = 1.0,
        lambda_high: float = 1.0,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("standardize", standardize, ("band", "feature", "none")),
            ("reduction", reduction, ("mean", "sum")),
        ):
            if value not in known:
                raise ValueError(f"{name}={value!r} is unknown: choose one of {', '.join(known)}")
        self.decoupler = decoupler
        self.alignment = alignment
        self.low_loss = nn.MSELoss() if low_loss is None else low_loss
        self.high_loss = LogMSELoss() if high_loss is None else high_loss
        self.band_heads = band_heads
        self.standardize = standardize
        self.reduction = reduction
        self.lambda_low = lambda_low
        self.lambda_high = lambda_high

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
            terms["align"] = alignment_loss(
                self.alignment(own),
                None if its is None else self.alignment(its),
                target,
                None if teacher is None else teacher.label,
            )
        if self.band_heads is not None:
            terms["heads"] = alignment_loss(self.band_heads(own), None, target)
        return terms

    def heads(self, student: Output) -> dict[str, Tensor]:
        """Logits of the classifiers on the student's bands."""
        own = self.decoupler(student.features)
        return {
            f"{name}_{band}": logits
            for name, head in (("align", self.alignment), ("heads", self.band_heads))
            if head is not None
            for band, logits in head(own)._asdict().items()
        }

    def _distances(
        self, student: Tensor, own: Bands, teacher: Tensor, its: Bands
    ) -> dict[str, Tensor]:
        own, its = self._comparable(student, own), self._comparable(teacher, its)
        # The distances are means over all elements; times D they are sums over the channels.
        scale = student.shape[self.decoupler.dim] if self.reduction == "sum" else 1
        return {
            "low": self.lambda_low * scale * self.low_loss(own.low, its.low),
            "high": self.lambda_high * scale * self.high_loss(own.high, its.high),
        }

    def _comparable(self, features: Tensor, bands: Bands) -> Bands:
        dim = self.decoupler.dim
        if self.standardize == "band":
            return Bands(*(standardize(band, dim, source=features) for band in bands))
        if self.standardize == "feature":
            return Bands(*self.decoupler(standardize(features, dim)))
        return bands
