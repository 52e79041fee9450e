"""Base of the callback: weights, averages and divergence of the wrapped LightningModule."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from fdkd_lightning.models.pretrained import load_pretrained
from fdkd_lightning.training.averaging import follow_module, save_followed
from fdkd_lightning.training.monitor.finite_watch import FiniteWatch, recovers


class RunCallback(Callback):
    """Base of the callback, which gives any module what ``RunModule`` gives this package's.

    Weights of a file or a hub are read before the first batch is trained or evaluated on, unless a
    checkpoint has brought others. Lightning's weight averaging starts from these weights, and has
    no effect before its first update.

    Raises:
        FloatingPointError: Within an epoch, if a network's outputs, a term of the loss or a trained
            weight become NaN or infinite.
    """

    def __init__(self) -> None:
        self.watch = FiniteWatch()
        self.live_values: dict[str, Tensor | float] = {}
        """The latest terms of the loss, and the teachers' scores, for the progress bar."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the weights of the module's networks."""
        self.live_values.clear()
        load_pretrained(pl_module)
        follow_module(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the weights; raise if training has diverged, before a checkpoint is written."""
        load_pretrained(pl_module)
        follow_module(trainer, pl_module)
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._check_divergence(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the weights."""
        load_pretrained(pl_module)

    on_predict_start = on_test_start

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Raise every now and then if training has diverged."""
        if self.watch.is_due(batch_idx):
            self._check_divergence(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise if training has diverged, before a checkpoint is written."""
        self._check_divergence(trainer, pl_module)
        follow_module(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the module's weights in place of those of an average that has not begun."""
        # The averaging callback may come before this one, or after it.
        save_followed(checkpoint)
        follow_module(trainer, pl_module)

    def _check_divergence(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.watch.check(pl_module, recovers(trainer))
