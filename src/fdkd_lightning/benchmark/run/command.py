"""``fdkd benchmark --config``: what bounds a run of the user's, and what a cache would give."""

import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from tqdm import tqdm

from fdkd_lightning.benchmark.about import about_benchmark
from fdkd_lightning.benchmark.result_files import write_results
from fdkd_lightning.benchmark.row import Row
from fdkd_lightning.benchmark.run.measure_run import CACHED, CONFIGURED, MeasuredRun, measure_run
from fdkd_lightning.benchmark.run.run_parts import parts_of
from fdkd_lightning.benchmark.run.run_rows import run_rows
from fdkd_lightning.ops.checks import check_count, check_range
from fdkd_lightning.training.command import FDKDCLI
from fdkd_lightning.training.quiet_lightning import quiet_lightning
from fdkd_lightning.training.run.run_folder import run_folder


class RunBenchmark(Trainer):
    """Lightning's trainer with the method behind ``fdkd benchmark --config``."""

    rows: list[Row]
    """The measured numbers."""
    run: dict[str, Any]
    """Batch, device and settings of the measured run."""

    def benchmark(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        folder: str | None = None,
        steps: int = 40,
        rounds: int = 2,
        seconds: float = 30.0,
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Measure the parts of a training step, as configured and with a teacher cache.

        Args:
            model: The module, or one that a DistillationCallback wraps.
            datamodule: The data module.
            folder: Folder to write; None: ``benchmark`` in the run's folder.
            steps: Steps of the optimizer to measure of each of both.
            rounds: Fits of each, in turn, which share the steps.
            seconds: Most seconds of a fit.
            ckpt_path: Accepted because saved configurations contain it.
            weights_only: Likewise.
        """
        check_count("steps", steps, 3, example=40)
        check_count("rounds", rounds, example=2)
        check_range("seconds", seconds, above=0, example=30)
        scratch = Path(self.default_root_dir) / "stand_ins"
        is_quiet = self.progress_bar_callback is None or not self.is_global_zero
        share = rounds * -(-steps // rounds)
        total = share if parts_of(model, self).why_not_cached() else 2 * share
        with tqdm(total=total, unit="step", desc="steps", disable=is_quiet) as bar:
            limits = steps, seconds, rounds
            measured = measure_run(self, model, datamodule, scratch, *limits, bar.update)
        self.run = self._describe(model, datamodule, measured)
        self.rows = rows_of(measured, self.run)

    def _describe(
        self, model: LightningModule, data: LightningDataModule, measured: MeasuredRun
    ) -> dict[str, Any]:
        parts = parts_of(model, self)
        criterion = None if parts.distiller is None else type(parts.distiller.criterion).__name__
        batches = measured.facts["batches"]
        accumulate: int = self.accumulate_grad_batches
        return {
            "model": type(model).__name__,
            "data": type(data).__name__,
            "criterion": criterion,
            "teachers": [*parts.named_teachers()],
            "device": str(self.strategy.root_device),
            "precision": str(self.precision),
            "ranks": self.world_size,
            "batch_size": measured.facts["batch_size"],
            "batches_per_step": accumulate,
            "steps_per_epoch": -(-batches // accumulate) if math.isfinite(batches) else None,
            "samples": measured.facts["samples"],
            "num_workers": measured.facts["num_workers"],
            "cache": {
                "why_not": measured.why_not_cached,
                "row_bytes": measured.row_bytes,
                "with_maps": measured.with_maps,
                "skipped": measured.skipped,
            },
        }


def rows_of(measured: MeasuredRun, run: dict[str, Any]) -> list[Row]:
    """Return the rows of both variants."""
    rows: list[Row] = []
    for variant in (CONFIGURED, CACHED):
        if variant in measured.steps:
            loader = measured.loader_seconds[variant]
            alone = None if loader is None else loader * run["batches_per_step"]
            size = f"batch {run['batch_size'] * run['batches_per_step']}"
            baseline = rows[0] if rows else None
            rows += run_rows(variant, size, measured.steps[variant], alone, baseline)
    return rows


class RunBenchmarkCLI(FDKDCLI):
    """The command line of ``fdkd benchmark --config``, with the arguments of ``fdkd fit``.

    Args:
        args: The arguments, ``benchmark`` first; None: those of the process.
        scratch: Folder in which whatever the run writes is written.
    """

    trainer_type = RunBenchmark
    reads_checkpoint = False

    def __init__(self, args: Sequence[str] | None, scratch: str) -> None:
        self.scratch = scratch
        self.folder = Path()
        super().__init__(args)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Name the one command, and its arguments that the configuration gives."""
        return {"benchmark": {"model", "datamodule"}}

    def before_instantiate_classes(self) -> None:
        """Let the run write into the scratch folder, by the default loggers alone."""
        config = self.config[self.subcommand]
        try:
            given = run_folder(config.trainer.default_root_dir)
        except ValueError as error:
            self.parser.error(str(error))
        self.folder = Path(config.folder or Path(given) / "benchmark")
        config.trainer.default_root_dir = self.scratch
        config.checkpoint.dirpath = config.last_checkpoint.dirpath = None
        if not isinstance(config.trainer.logger, bool):
            # A service would list a run.
            config.trainer.logger = None
        config.trainer.fast_dev_run = False
        super().before_instantiate_classes()


def benchmark_run(args: Sequence[str] | None = None) -> Path | None:
    """Measure the run that a configuration describes, and return the folder; None on other ranks.

    Args:
        args: The arguments, ``benchmark`` first; None: those of the process.

    Raises:
        ValueError, TypeError, KeyError, OSError: If the run cannot be started.
    """
    about = about_benchmark(sys.argv[1:] if args is None else args)
    # Lightning announces each of the fits.
    with quiet_lightning(), tempfile.TemporaryDirectory(prefix="fdkd_benchmark_") as scratch:
        line = RunBenchmarkCLI(args, scratch)
    trainer = line.trainer
    assert isinstance(trainer, RunBenchmark)
    if not trainer.is_global_zero:
        return None
    write_results(line.folder, trainer.rows, {**about, "run": trainer.run, "skipped": {}})
    return line.folder
