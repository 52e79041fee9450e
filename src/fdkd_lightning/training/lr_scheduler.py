"""The learning-rate schedule of the published code, and when schedulers are stepped."""

from typing import Any, Literal

from lightning.pytorch import Trainer
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR

from fdkd_lightning.ops.checks import check_count, check_range


def scheduler_config(scheduler: Any, trainer: Trainer) -> dict[str, Any]:
    """Return a scheduler as Lightning takes it: when it is stepped, and by which metric.

    A :class:`PolyLR` without an end gets the trainer's.

    Raises:
        ValueError: If a ``PolyLR`` and the trainer have no ``max_epochs``, or as
            :func:`stepping_interval`.
    """
    if isinstance(scheduler, PolyLR):
        scheduler.default_to(trainer.max_epochs)
    # Lightning's ReduceLROnPlateau has the attribute; no other scheduler needs a monitor.
    monitor = getattr(scheduler, "monitor", None)
    interval = stepping_interval(scheduler, trainer)
    return {"scheduler": scheduler, "interval": interval, "monitor": monitor}


def stepping_interval(scheduler: Any, trainer: Trainer) -> Literal["step", "epoch"]:
    """Return whether a scheduler is stepped after each batch or after each epoch.

    After each epoch, except for the two that torch documents to be stepped after each batch: a
    ``CyclicLR``, and a ``OneCycleLR`` whose cycle is as long as training in steps.

    Raises:
        ValueError: If the one cycle is as long as training neither in steps nor in epochs, half a
            cycle of a ``CyclicLR`` is longer than training, or a scheduler of several holds one.
    """
    for part in getattr(scheduler, "_schedulers", ()):  # of SequentialLR and ChainedScheduler
        if isinstance(part, CyclicLR | OneCycleLR):
            raise ValueError(
                f"{type(scheduler).__name__} holds a {type(part).__name__}, which is stepped after "
                "each batch, but would be stepped after each epoch: use it alone, or write the "
                "schedule as a LambdaLR of epochs"
            )
    if not isinstance(scheduler, CyclicLR | OneCycleLR):
        return "epoch"
    steps, epochs = trainer.estimated_stepping_batches, trainer.max_epochs
    if isinstance(scheduler, CyclicLR):
        rising = round(scheduler.total_size * scheduler.step_ratio)
        if rising > steps:
            raise ValueError(
                f"CyclicLR has step_size_up={rising}, but training has {steps} steps in {epochs} "
                f"epochs, of which max_lr is never reached: set step_size_up to at most {steps}"
            )
        return "step"
    if scheduler.total_steps in (steps, epochs):
        return "step" if scheduler.total_steps == steps else "epoch"
    raise ValueError(
        f"OneCycleLR has total_steps={scheduler.total_steps}, but training has {steps} steps in "
        f"{epochs} epochs: set total_steps={steps} to step after each batch, or {epochs} to step "
        "after each epoch"
    )


class PolyLR(LRScheduler):
    r"""Polynomial decay of the learning rate to a floor, stepped once an epoch.

    .. math::
        \eta_e = \eta_\mathrm{min} + (\eta_0 - \eta_\mathrm{min})
        \left(1 - \frac{e}{E}\right)^{\mathrm{power}}

    ``torch.optim.lr_scheduler.PolynomialLR`` is the same with a floor of 0.

    Args:
        optimizer: The optimizer; its learning rates are the :math:`\eta_0`.
        max_epochs: Number of epochs E; None: the trainer's ``max_epochs``, which the modules of
            this package set.
        power: Exponent; 1 is a linear decay.
        min_lr: Learning rate :math:`\eta_\mathrm{min}` at epoch E.
        last_epoch: Index of the last epoch, as in ``torch.optim.lr_scheduler``.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If ``max_epochs`` is below 1, or ``power`` or ``min_lr`` negative or not finite.
        RuntimeError: By a step, if ``max_epochs`` is neither given nor set by a module.

    Reference:
        ``zxn0710/re-FD-CMKD-main``: base 1e-2, floor 1e-4, power 0.9, 100 epochs.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
        >>> scheduler = PolyLR(optimizer, max_epochs=2, power=1.0)
        >>> optimizer.step(); scheduler.step()
        >>> f"{scheduler.get_last_lr()[0]:.5f}"
        '0.00505'
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_epochs: int | None = None,
        power: float = 0.9,
        min_lr: float = 1e-4,
        last_epoch: int = -1,
    ) -> None:
        if max_epochs is not None:
            check_count("max_epochs", max_epochs, example=100)
        check_range("power", power, 0, example=0.9)
        check_range("min_lr", min_lr, 0, example=1e-4)
        check_count("last_epoch", last_epoch, -1)
        self.max_epochs = max_epochs
        self.power = power
        self.min_lr = min_lr
        super().__init__(optimizer, last_epoch)

    def default_to(self, max_epochs: int | None) -> None:
        """Set ``max_epochs`` to the trainer's if it was not given.

        Args:
            max_epochs: The trainer's ``max_epochs``.

        Raises:
            ValueError: If neither is given.
        """
        if self.max_epochs is not None:
            return
        if max_epochs is None or max_epochs < 1:
            raise ValueError(
                f"PolyLR needs max_epochs, but the trainer's is {max_epochs}: set "
                "trainer.max_epochs or the scheduler's max_epochs"
            )
        self.max_epochs = max_epochs

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rates of this epoch."""
        if self.last_epoch == 0:
            return [float(lr) for lr in self.base_lrs]
        if self.max_epochs is None:
            raise RuntimeError(
                "PolyLR has no max_epochs: give it, or use a module of fdkd_lightning, which sets "
                "it to the trainer's"
            )
        left = max(1 - self.last_epoch / self.max_epochs, 0.0) ** self.power
        return [self.min_lr + (float(lr) - self.min_lr) * left for lr in self.base_lrs]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state, and recompute the learning rate for this run's ``max_epochs``.

        A finished run has reached the floor; a longer run that resumes it has not yet. Load the
        optimizer's state before the scheduler's, as torch requires.

        Args:
            state_dict: A state that :meth:`state_dict` returned.
        """
        super().load_state_dict(state_dict)
        if self.max_epochs is not None:
            rates = self.get_lr()
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            self._last_lr = rates

    def state_dict(self) -> dict[str, Any]:
        """Return the state without ``max_epochs``, so that a resumed run may be longer."""
        return {key: value for key, value in super().state_dict().items() if key != "max_epochs"}
