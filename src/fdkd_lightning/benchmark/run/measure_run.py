"""Measure a run as configured and with a teacher cache, in turn."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ModelSummary, ProgressBar
from lightning.pytorch.cli import SaveConfigCallback

from fdkd_lightning.benchmark.run.run_parts import RunParts, parts_of
from fdkd_lightning.benchmark.run.stand_in_cache import (
    LastOutput,
    StandInCache,
    row_bytes,
    write_stand_in,
)
from fdkd_lightning.benchmark.run.step_watch import StepWatch
from fdkd_lightning.training.cache.cached_teacher import CachedTeacher
from fdkd_lightning.training.parser.exception_text import message_of
from fdkd_lightning.training.run.run_record import RunRecord
from fdkd_lightning.training.teachers import FrozenTeachers

CONFIGURED, CACHED = "as configured", "with a teacher cache"
UNUSED = (Checkpoint, EarlyStopping, ModelSummary, ProgressBar, RunRecord, SaveConfigCallback)
"""Callbacks that write files, or that a fit of some steps has no use for."""
MANY_EPOCHS = 100_000


@dataclass
class MeasuredRun:
    """The steps of a run.

    Args:
        steps: Variant -> part -> seconds, of each step.
        loader_seconds: Variant -> seconds in which the loader alone delivers a batch; None where it
            has no workers.
        skipped: Modalities that are not loaded with a teacher cache.
        row_bytes: Bytes that the outputs of all teachers take for a sample.
        with_maps: Whether the criterion needs the teachers' maps.
        why_not_cached: Why a cache was not measured; None: it was.
        facts: ``batches`` of an epoch, ``batch_size``, ``num_workers`` and ``samples``.
    """

    steps: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    loader_seconds: dict[str, float | None] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    row_bytes: int = 0
    with_maps: bool = False
    why_not_cached: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, variant: str, watch: StepWatch) -> None:
        """Add the steps of a fit."""
        self.steps.setdefault(variant, []).extend(watch.clock.steps)
        self.loader_seconds[variant] = watch.loader_seconds
        self.facts = self.facts or watch.facts


def measure_run(
    trainer: Trainer,
    model: LightningModule,
    datamodule: LightningDataModule,
    scratch: Path,
    steps: int,
    seconds: float,
    rounds: int,
    progress: Callable[[], object] = lambda: None,
) -> MeasuredRun:
    """Fit for some steps, as configured and with a teacher cache, in turn.

    The cache holds the outputs of one batch, and gives them for every sample: its values mean
    nothing, and it costs what the cache of the whole data set costs, as long as the system keeps
    that in memory. Callbacks that write are left out, and so is validation. The model is trained.

    Args:
        trainer: The trainer.
        model: The model.
        datamodule: Its data module.
        scratch: An empty folder.
        steps: Steps of the optimizer to measure of each variant.
        seconds: Most seconds of a fit.
        rounds: Fits of each variant, which share the steps.
        progress: Called after each step.
    """
    parts = parts_of(model, trainer)
    measured = MeasuredRun(why_not_cached=parts.why_not_cached())
    fit = _Fit(trainer, model, datamodule, parts, -(-steps // rounds), seconds, progress)
    outputs: dict[str, LastOutput] = {}
    if measured.why_not_cached is None:
        outputs = {m: LastOutput(x) for m, x in _live(parts).items()}
    measured.add(CONFIGURED, fit({}))
    for keeper in outputs.values():
        keeper.remove()
    caches: dict[str, StandInCache] = {}
    # With maps, if the criterion cannot do without.
    for maps in (False, True) if outputs else ():
        found = {m: x.output for m, x in outputs.items() if x.output is not None}
        caches = {m: write_stand_in(scratch / f"{maps}" / m, x, maps) for m, x in found.items()}
        try:
            watch = fit(caches)
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
            caches = {}
            measured.why_not_cached = measured.why_not_cached or message_of(error)
            continue
        measured.add(CACHED, watch)
        measured.why_not_cached, measured.skipped = None, watch.skipped
        measured.row_bytes = sum(row_bytes(x, maps) for x in found.values())
        measured.with_maps = maps
        break
    for _ in range(1, rounds):
        measured.add(CONFIGURED, fit({}))
        if caches:
            measured.add(CACHED, fit(caches))
    return measured


@dataclass
class _Fit:
    """A short fit, after which everything is as before but the weights."""

    trainer: Trainer
    model: LightningModule
    datamodule: LightningDataModule
    parts: RunParts
    steps: int
    seconds: float
    progress: Callable[[], object]

    def __call__(self, caches: Mapping[str, StandInCache]) -> StepWatch:
        watch = StepWatch(self.parts, self.steps, self.seconds, caches, self.progress)
        with _shortened(self.trainer, watch), _without_check(self.model, self.parts):
            self.trainer.fit(self.model, datamodule=self.datamodule)
        if isinstance(self.parts.teachers, FrozenTeachers):
            self.parts.teachers.use_caches({})
        return watch


@contextmanager
def _shortened(trainer: Any, watch: Callback) -> Iterator[None]:
    """Let a trainer fit without validation until ``watch`` ends it."""
    given = trainer.callbacks
    trainer.callbacks = [*(x for x in given if not isinstance(x, UNUSED)), watch]
    trainer.limit_val_batches = 0
    trainer.fit_loop.max_epochs = MANY_EPOCHS  # schedules may divide by it
    trainer.fit_loop.epoch_loop.max_steps = -1
    trainer.fit_loop.min_epochs = trainer.fit_loop.epoch_loop.min_steps = None
    try:
        yield
    finally:
        trainer.callbacks = given


@contextmanager
def _without_check(model: Any, parts: RunParts) -> Iterator[None]:
    """Leave out the measurement of the teachers when a fit begins."""
    owner = model if parts.callback is None else parts.callback
    if parts.distiller is None:
        yield
        return
    given = owner.teacher_check_batches
    owner.teacher_check_batches = 0
    try:
        yield
    finally:
        owner.teacher_check_batches = given


def _live(parts: RunParts) -> dict[str, Any]:
    teachers = parts.named_teachers().items()
    return {m: teacher for m, teacher in teachers if not isinstance(teacher, CachedTeacher)}
