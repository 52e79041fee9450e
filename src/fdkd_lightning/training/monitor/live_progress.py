"""Loss terms, teacher scores, data wait and time to go in the progress bar."""

import functools
import math
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from fdkd_lightning.ops.checks import check_range
from fdkd_lightning.training.monitor.loader_wait import LoaderWait
from fdkd_lightning.training.trainer_callbacks import trainer_callbacks


class LiveProgress(Callback):
    """Show in the progress bar how the fit is going: Rich's, TQDM's or another of Lightning's.

    The bar gets ``left``, the time until the fit ends, with its validations, at the pace so far;
    ``data``, the share of the epoch that the process waited for the loader; each term of the last
    batch's loss; and each teacher's score on validation data. The terms are those of this
    package's modules and of ``DistillationCallback``, or of any attribute ``live_values`` (name ->
    number or scalar tensor) of a module or callback. On several ranks they are the first rank's.

    ``fdkd fit`` always has it. Without a progress bar it does nothing.

    Args:
        seconds: Time between two looks at the values, each of which waits for the device.

    Raises:
        ValueError: If ``seconds`` is not positive.

    Example:
        >>> trainer = Trainer(callbacks=[LiveProgress()], logger=False)
    """

    def __init__(self, seconds: float = 0.5) -> None:
        check_range("seconds", seconds, above=0)
        self.seconds = seconds
        self.wait = LoaderWait()
        self._bar: Any = None
        self._shown: dict[str, str] = {}
        self._start = self._looked = 0.0
        self._batches = 0
        self._batch_idx = -1

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add to the bar's metrics."""
        self._restore()
        bar: Any = trainer.progress_bar_callback
        if bar is None or not trainer.is_global_zero:
            return
        self._bar, self._shown = bar, {}
        self._looked, self._batches = -math.inf, 0
        bar.get_metrics = functools.partial(self._metrics, bar.get_metrics)
        profiled: Any = trainer  # whose connector sets the profiler
        self.wait.attach(profiled.profiler)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the wait of this epoch."""
        self._batch_idx = -1
        self.wait.start_epoch()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave validation out of the share."""
        self.wait.pause()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count again."""
        self.wait.resume()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch."""
        self._batches += 1
        self._batch_idx = batch_idx

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the bar."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: Any) -> None:
        """Restore the bar."""
        self._restore()

    def _restore(self) -> None:
        self.wait.detach()
        if self._bar is not None:
            del self._bar.get_metrics  # what hid the method of the class
            self._bar = None

    def _metrics(
        self,
        original: Callable[[Trainer, LightningModule], dict[str, Any]],
        trainer: Trainer,
        pl_module: LightningModule,
    ) -> dict[str, Any]:
        given = original(trainer, pl_module)
        # The number of the log folder is in the path of the report.
        given.pop("v_num", None)
        now = time.perf_counter()
        if now - self._looked >= self.seconds:
            self._looked = now
            self._shown = self._look(trainer, pl_module, now)
        return {**self._shown, **given}

    def _look(self, trainer: Trainer, pl_module: LightningModule, now: float) -> dict[str, str]:
        shown: dict[str, str] = {}
        left = batches_left(trainer, self._batch_idx + 1)
        if self._batches and left is not None:
            seconds = (now - self._start) / self._batches * left
            shown["left"] = str(timedelta(seconds=round(seconds)))
        shown["data"] = f"{self.wait.share():.0%}"
        for owner in (pl_module, *trainer_callbacks(trainer)):
            values: dict[str, float | Tensor] = getattr(owner, "live_values", {})
            shown |= {name: f"{float(value):.3g}" for name, value in values.items()}
        return shown


def batches_left(trainer: Trainer, done: int) -> int | None:
    """Return how many batches of training a fit has left; None if that is not known.

    Args:
        trainer: A trainer that fits.
        done: Number of batches of the current epoch that are done.
    """
    limits = []
    per_epoch = trainer.num_training_batches
    if trainer.max_epochs is not None and trainer.max_epochs >= 0 and per_epoch < math.inf:
        limits.append((trainer.max_epochs - trainer.current_epoch) * int(per_epoch) - done)
    if trainer.max_steps >= 0:
        steps = trainer.max_steps - trainer.global_step
        limits.append(steps * trainer.accumulate_grad_batches)
    return max(min(limits), 0) if limits else None
