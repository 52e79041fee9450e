"""Base of the modules: weights, random generators, averages and divergence of a run."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor, nn

from fdkd_lightning.models.pretrained import load_pretrained
from fdkd_lightning.models.weight_checks import (
    check_numbers,
    check_optimizer_states,
    check_weights,
)
from fdkd_lightning.training.averaging import follow_module, save_followed
from fdkd_lightning.training.monitor.finite_watch import FiniteWatch, recovers
from fdkd_lightning.training.probe import class_names_of
from fdkd_lightning.training.rng import restore_rng_states, rng_states
from fdkd_lightning.types import Batch


class RunModule(LightningModule):
    """Base of the modules: weights are checked and read once, runs resume exactly, NaN ends them.

    Weights of a file or a hub are read before the first batch is trained or evaluated on, unless a
    checkpoint has brought others. Lightning's weight averaging starts from these weights, and has
    no effect before its first update.

    Raises:
        ValueError: By a load, if weights do not fit the module, or are NaN.
        FloatingPointError: Within an epoch, if a network's outputs, a term of the loss or a trained
            weight become NaN or infinite.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.watch = FiniteWatch()
        self.live_values: dict[str, Tensor | float] = {}
        """The latest terms of the loss, and the teachers' scores, for the progress bar."""
        self._is_read = False
        self._rng_states: list[dict[str, Any]] | None = None

    def setup(self, stage: str) -> None:
        """Begin a run."""
        # States of an evaluated checkpoint must not seed this fit; its own is loaded later.
        self._rng_states = None
        self._is_read = False
        self.watch.restart()
        self.live_values = {}
        if not self.reads_late():
            self.read_weights()

    def read_weights(self) -> None:
        """Read the weights that are neither read nor loaded yet."""
        if not self._is_read:
            load_pretrained(self.model)
            self._is_read = True

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Check weights, then load them: those of every resumed, tested or exported checkpoint.

        Raises:
            ValueError: As :func:`~fdkd_lightning.models.weight_checks.check_weights`; without
                ``strict``, other names and shapes are left to torch.
        """
        # Without a trainer, the property would raise.
        path = None if self._trainer is None else self._trainer.ckpt_path
        source = "the state dict" if path is None else f"ckpt_path={str(path)!r}"
        expected, name = self.state_dict(), type(self).__name__
        if strict:
            check_weights(source, state_dict, expected, name, checkpoint=path)
        else:
            check_numbers(source, state_dict, expected, name)
        return super().load_state_dict(state_dict, strict, assign)

    def reads_late(self) -> bool:
        """Return whether weights are read after a checkpoint may have brought others.

        A strategy that shards the module needs them before it does.
        """
        return not self.trainer.strategy.restore_checkpoint_after_setup

    def on_fit_start(self) -> None:
        """Read the weights."""
        self.read_weights()
        follow_module(self.trainer, self)

    def on_validation_start(self) -> None:
        """Read the weights; raise if training has diverged, before a checkpoint is written."""
        self.read_weights()
        follow_module(self.trainer, self)
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self._check_divergence()

    def on_test_start(self) -> None:
        """Read the weights."""
        self.read_weights()

    on_predict_start = on_test_start

    def on_train_start(self) -> None:
        """Restore the random generators from the checkpoint."""
        if self._rng_states is not None:
            restore_rng_states(self._rng_states, self.global_rank)
            self._rng_states = None

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Raise every now and then if training has diverged."""
        if self.watch.is_due(batch_idx):
            self._check_divergence()

    def on_train_epoch_end(self) -> None:
        """Raise if training has diverged, before a checkpoint is written."""
        self._check_divergence()
        follow_module(self.trainer, self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the random generators, for a resumed run, and the names of the classes."""
        checkpoint["rng_states"] = rng_states()
        names = class_names_of(getattr(self.trainer, "datamodule", None))
        checkpoint["class_names"] = [str(name) for name in names]
        save_followed(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the optimizers of a resumed run, and keep its random generators' states."""
        super().on_load_checkpoint(checkpoint)
        if self._trainer is not None and self._trainer.state.fn == "fit":
            check_optimizer_states(f"ckpt_path={str(self._trainer.ckpt_path)!r}", checkpoint)
        self._rng_states = checkpoint.get("rng_states")

    def _log_terms(self, terms: dict[str, Tensor], batch: Batch) -> None:
        self.live_values |= {name: term.detach() for name, term in terms.items()}
        values = {f"train/{name}": term.detach() for name, term in terms.items()}
        size = batch["label"].shape[0]
        self.log_dict(values, on_step=False, on_epoch=True, sync_dist=True, batch_size=size)

    def _check_divergence(self) -> None:
        self.watch.check(self, recovers(self.trainer))
