"""The learning-rate schedule of the published code."""

from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class PolyLR(LRScheduler):
    r"""Polynomial decay to a floor, epoch by epoch.

    .. math::
        \eta_e = \eta_\mathrm{min} + (\eta_0 - \eta_\mathrm{min})
        \left(1 - \frac{e}{E}\right)^{\mathrm{power}}

    ``torch.optim.lr_scheduler.PolynomialLR`` is the same with a floor of 0.

    Args:
        optimizer: Its learning rates are the :math:`\eta_0`.
        max_epochs: E; None: the trainer's ``max_epochs``, set by the module that uses it.
        power: Exponent; 1 is linear.
        min_lr: The floor, reached at epoch E.
        last_epoch: As in torch.

    Raises:
        ValueError: If ``max_epochs`` is below 1.

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
        if max_epochs is not None and max_epochs < 1:
            raise ValueError(f"max_epochs={max_epochs} must be at least 1")
        self.max_epochs = max_epochs
        self.power = power
        self.min_lr = min_lr
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """The learning rates of this epoch."""
        if self.last_epoch == 0:
            return [float(lr) for lr in self.base_lrs]
        if self.max_epochs is None:
            raise RuntimeError(
                "PolyLR has no max_epochs: give it, or use it in a module of fdkd_lightning, "
                "which takes the trainer's"
            )
        left = max(1 - self.last_epoch / self.max_epochs, 0.0) ** self.power
        return [self.min_lr + (float(lr) - self.min_lr) * left for lr in self.base_lrs]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state; the rate is computed anew, for the run's own length.

        A run that ended has come down to the floor, where a longer one is not yet. Load the
        optimizer's state before the scheduler's, as torch asks.
        """
        super().load_state_dict(state_dict)
        if self.max_epochs is not None:
            rates = self.get_lr()
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            self._last_lr = rates

    def state_dict(self) -> dict[str, Any]:
        """The state; its length is the run's, so that a resumed run may be a longer one."""
        return {key: value for key, value in super().state_dict().items() if key != "max_epochs"}
