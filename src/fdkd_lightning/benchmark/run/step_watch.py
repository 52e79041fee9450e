"""Lightning callback that measures the steps of a fit, and ends it."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sized
from contextlib import ExitStack, contextmanager
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.data import extract_batch_size
from torch.utils.data import DataLoader

from fdkd_lightning.benchmark.run.run_parts import RunParts
from fdkd_lightning.benchmark.run.stand_in_cache import StandInCache
from fdkd_lightning.benchmark.run.step_clock import StepClock
from fdkd_lightning.benchmark.run.step_hooks import attached
from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.training.callback.batch_keys import BatchInputs
from fdkd_lightning.training.teachers import FrozenTeachers

WARM_UP = 3
"""Steps that are not counted: they allocate, compile and choose algorithms."""
LEAST = 3
"""Steps that are measured even when the time is over."""


class StepWatch(Callback):
    """Measure steps, one of the optimizer each, from the end of one to the end of the next.

    Args:
        parts: The run's parts.
        steps: Number of steps to measure.
        seconds: The fit ends after so many seconds.
        caches: Modality -> stand-in to read in the place of the teacher.
        progress: Called after each measured step.
    """

    def __init__(
        self,
        parts: RunParts,
        steps: int,
        seconds: float,
        caches: Mapping[str, StandInCache],
        progress: Callable[[], object],
    ) -> None:
        self.parts, self.steps, self.seconds = parts, steps, seconds
        self.caches, self.progress = caches, progress
        self.clock = StepClock()
        self.skipped: list[str] = []
        self.loader_seconds: float | None = None
        self.facts: dict[str, Any] = {}
        self._stack = ExitStack()
        self._unmeasured, self._is_first = WARM_UP, True
        self._global_step, self._start = 0, 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the stand-ins into the place of the teachers, whose modality is then not loaded."""
        if self.caches and isinstance(self.parts.teachers, FrozenTeachers):
            self.parts.teachers.use_caches(self.caches)
            data: Any = getattr(trainer, "datamodule", None)
            if self.parts.callback is not None:
                # Its module may read any modality.
                self._stack.enter_context(_ids_read(self.parts.callback.inputs, self.caches))
            elif isinstance(data, MultimodalDataModule):
                student = getattr(pl_module, "modality", None)
                self.skipped = sorted({*self.caches} - {student})
                data.skip_modalities(self.skipped)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Attach the clock."""
        loader = trainer.train_dataloader
        self.facts = {"batches": trainer.num_training_batches, "num_workers": None, "samples": None}
        if isinstance(loader, DataLoader):
            self.facts["num_workers"] = loader.num_workers
            if isinstance(loader.dataset, Sized):
                self.facts["samples"] = len(loader.dataset)
            # Batches that workers have prepared before the first step are not waited for.
            self._unmeasured += loader.num_workers * (loader.prefetch_factor or 1)
        for schedule in trainer.lr_scheduler_configs:
            # Without validation there is no metric to wait for.
            schedule.strict = False
        self._global_step, self._start = trainer.global_step, time.perf_counter()
        self._stack.enter_context(attached(self.clock, self.parts, trainer))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave out what lies between two epochs."""
        self._is_first = trainer.num_training_batches > 2

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End a step of the optimizer."""
        self.facts.setdefault("batch_size", extract_batch_size(batch))
        if trainer.global_step == self._global_step:
            return
        self._global_step = trainer.global_step
        if self._is_first or self._unmeasured > 0:
            self._is_first = False
            self._unmeasured -= 1
            self.clock.discard()
        else:
            self.clock.end_step()
            self.progress()
        count, spent = len(self.clock.steps), time.perf_counter() - self._start
        is_over = count >= self.steps or (count >= LEAST and spent > self.seconds)
        # Together: a rank that went on would wait for the others for ever.
        if trainer.strategy.reduce_boolean_decision(is_over, all=False):
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Detach the clock, and time the loader without a step."""
        self._stack.close()
        loader = trainer.train_dataloader
        if isinstance(loader, DataLoader) and loader.num_workers:
            self.loader_seconds = seconds_per_batch(loader)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: Any) -> None:
        """Detach the clock."""
        self._stack.close()


@contextmanager
def _ids_read(inputs: BatchInputs, caches: Collection[str]) -> Iterator[None]:
    """Let the callback read ids in the place of the cached teachers' inputs."""
    given = inputs.inputs, inputs.index
    inputs.inputs = {m: key for m, key in inputs.inputs.items() if m not in caches}
    inputs.index = "index" if inputs.index is None else inputs.index
    try:
        yield
    finally:
        inputs.inputs, inputs.index = given


def seconds_per_batch(loader: DataLoader[Any], seconds: float = 10.0) -> float:
    """Return the time in which a loader delivers a batch that nobody works on.

    The first batches, of which each worker prepares one while it starts, are not counted, unless
    there are few.

    Example:
        >>> seconds_per_batch(DataLoader(range(8), batch_size=4)) < 1
        True
    """
    start = time.perf_counter()
    times = [start]
    for _ in loader:
        times.append(time.perf_counter())
        if times[-1] - start > seconds:
            break
    first = loader.num_workers + 1
    if len(times) < 2 * first:
        first = 0
    return (times[-1] - times[first]) / max(len(times) - 1 - first, 1)
