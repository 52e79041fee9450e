"""Weighted sum of several losses."""

from collections.abc import Callable
from typing import TypeVar, cast

from torch import Tensor, nn

from fdkd_lightning.losses.base import DistillationLoss, TeacherRequiredError
from fdkd_lightning.losses.schedule import WarmUp, WeightSchedule
from fdkd_lightning.losses.wrapper import WrapperLoss, with_prefixes
from fdkd_lightning.ops.checks import check_weights
from fdkd_lightning.types import Output

T = TypeVar("T")


class CompositeLoss(WrapperLoss):
    r"""Weighted sum of several losses: :math:`L = \sum_i w_i(e) \, L_i` in epoch e.

    Each term is named after its loss and itself: ``fdkd/low``, ``kd/kd``. Without a teacher,
    losses that have no term without one are left out: the teacher-free control of FD-CMKD + KD is
    that of FD-CMKD.

    Args:
        losses: Name -> loss.
        weights: Name -> number, or schedule over the epochs; it multiplies all terms of its loss,
            on top of the loss's own weights. Losses without an entry have weight 1.

    Shape:
        - features, logits, maps, target: as the losses require

    Raises:
        TypeError: If an entry is no loss, or no number or schedule.
        ValueError: If ``losses`` is empty, a name contains a dot or a slash, or ``weights`` names
            no loss or holds a negative number.
        TeacherRequiredError: If there is no teacher, and no loss has a term without one.

    Example:
        >>> import torch
        >>> from fdkd_lightning.losses.feature import FeatureLoss
        >>> from fdkd_lightning.losses.schedule import WarmUp
        >>> loss = CompositeLoss({"feat": FeatureLoss()}, {"feat": WarmUp(4)})
        >>> outputs = (Output(torch.full((2, 8), x), torch.zeros(2, 3)) for x in (0.0, 2.0))
        >>> loss(*outputs, torch.tensor([0, 1]))
        {'feat/feature': tensor(1.)}
    """

    def __init__(
        self,
        losses: dict[str, DistillationLoss],
        weights: dict[str, float | WeightSchedule] | None = None,
    ) -> None:
        super().__init__()
        if not losses:
            raise ValueError("losses is empty: name at least one, for example {kd: KDLoss()}")
        for name in losses:
            if "." in name or "/" in name:
                raise ValueError(
                    f"losses names {name!r}: a name may contain neither a dot nor a slash"
                )
        for name in weights or {}:
            if name not in losses:
                raise ValueError(f"weights names {name!r}, which is none of {', '.join(losses)}")
        for name, loss in losses.items():
            if not isinstance(loss, DistillationLoss):
                kind = type(loss).__name__
                raise TypeError(f"losses[{name!r}] is of type {kind}: give a loss, KDLoss()")
        for name, weight in (weights or {}).items():
            if not isinstance(weight, WeightSchedule):
                check_weights(**{f"weights[{name!r}]": weight})
        self.losses = nn.ModuleDict(losses)
        self.weights = dict(weights or {})
        self._epoch = 0

    def wrapped(self) -> dict[str, DistillationLoss]:
        """Return the losses by prefix."""
        return {f"{name}/": cast(DistillationLoss, loss) for name, loss in self.losses.items()}

    def build(self, student: Output, teacher: Output | None) -> None:
        """Build the losses; without a teacher, those that have a term without one."""
        self._each(lambda loss: loss.build(student, teacher))

    def warmup_epochs(self) -> int:
        """Return the first epoch in which all losses are complete and no weight is warming up."""
        warm_ups = [w.epochs - 1 for w in self.weights.values() if isinstance(w, WarmUp)]
        return max([super().warmup_epochs(), *warm_ups])

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the losses and of the weight schedules."""
        super().set_epoch(epoch)
        self._epoch = epoch

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """Compute the weighted terms of all losses."""
        terms = self._each(lambda loss: loss(student, teacher, target))
        weighted = {
            prefix: {name: self._weight(prefix) * term for name, term in group.items()}
            for prefix, group in terms.items()
        }
        return with_prefixes(weighted)

    def _weight(self, prefix: str) -> float:
        weight = self.weights.get(prefix.removesuffix("/"), 1.0)
        return weight(self._epoch) if isinstance(weight, WeightSchedule) else weight

    def _each(self, call: Callable[[DistillationLoss], T]) -> dict[str, T]:
        """Call each loss; leave out those that raise for lack of a teacher, unless all do."""
        results: dict[str, T] = {}
        refusal = None
        for prefix, loss in self.wrapped().items():
            try:
                results[prefix] = call(loss)
            except TeacherRequiredError as error:
                refusal = error
        if refusal is not None and not results:
            raise refusal
        return results
