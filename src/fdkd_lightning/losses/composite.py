"""Several losses as one, each with its weight."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from torch import Tensor, nn

from fdkd_lightning.losses.base import DistillationLoss, TeacherRequiredError
from fdkd_lightning.losses.schedule import WarmUp, WeightSchedule
from fdkd_lightning.types import Output

T = TypeVar("T")


class CompositeLoss(DistillationLoss):
    r"""The weighted terms of several losses: :math:`L = \sum_i w_i(e) \, L_i`.

    A term is named after its loss and itself: ``fdkd/low``, ``kd/kd``. Without a teacher the
    losses that cannot do without are left out, so that the teacher-free control of FD-CMKD + KD
    is that of FD-CMKD.

    Args:
        losses: Name -> loss.
        weights: Name -> number or schedule over the epochs, on top of the loss's own weight; 1
            for those that are not named. A schedule weighs all terms of its loss.

    Raises:
        ValueError: If there is no loss, a name cannot be used, or a weight names no loss; without
            a teacher, if no loss can do without.

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
                    f"losses names {name!r}: a name may hold neither a dot nor a slash"
                )
        for name in weights or {}:
            if name not in losses:
                raise ValueError(f"weights names {name!r}, which is none of {', '.join(losses)}")
        self.losses = nn.ModuleDict(losses)
        self.weights = dict(weights or {})
        self._epoch = 0

    def build(self, student: Output, teacher: Output | None) -> None:
        """Size the losses; those that need a teacher are left alone without one."""
        self._each(lambda loss: loss.build(student, teacher))

    def single_teacher_only(self) -> bool:
        """Whether one of the losses does."""
        return any(self._each(lambda loss: loss.single_teacher_only()).values())

    def warmup_epochs(self) -> int:
        """The first epoch in which all losses are whole and no warm-up is under way."""
        warm_ups = [w.epochs - 1 for w in self.weights.values() if isinstance(w, WarmUp)]
        return max([*self._each(lambda loss: loss.warmup_epochs()).values(), *warm_ups])

    def set_epoch(self, epoch: int) -> None:
        """Tell the losses and the schedules."""
        self._epoch = epoch
        self._each(lambda loss: loss.set_epoch(epoch))

    def forward(self, student: Output, teacher: Output | None, target: Tensor) -> dict[str, Tensor]:
        """The weighted terms of all losses."""
        found = self._each(lambda loss: loss(student, teacher, target))
        return {
            name: self._weight(name.partition("/")[0]) * term
            for name, term in _named(found).items()
        }

    def heads(self, student: Output) -> dict[str, Tensor]:
        """Those of all losses, under the names of their terms."""
        return _named(self._each(lambda loss: loss.heads(student)))

    def logged_values(self) -> dict[str, Tensor]:
        """Those of all losses, likewise."""
        return _named(self._each(lambda loss: loss.logged_values()))

    def _weight(self, name: str) -> float:
        weight = self.weights.get(name, 1.0)
        return weight(self._epoch) if isinstance(weight, WeightSchedule) else weight

    def _each(self, ask: Callable[[DistillationLoss], T]) -> dict[str, T]:
        """What each loss answers, those that need a teacher and have none left out."""
        answers, refusal = {}, None
        for name, loss in self.losses.items():
            assert isinstance(loss, DistillationLoss)
            try:
                answers[name] = ask(loss)
            except TeacherRequiredError as error:
                refusal = error
        if refusal is not None and not answers:
            raise refusal
        return answers


def _named(found: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value for name, values in found.items() for key, value in values.items()
    }
