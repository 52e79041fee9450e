"""The runs of a study on Weights & Biases, grouped by cell."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import WandbLogger

from fdkd_lightning.study.planned_run import Run
from fdkd_lightning.study.sweep.online import has_login
from fdkd_lightning.training.run.run_loggers import without_warning


def cell_logger(run: Run, study: Path, project: str) -> WandbLogger:
    """Return the logger of a run, whose files go into the folder of the run.

    Runs that differ in their seed alone have the same group, over which W&B shows mean and
    interval; ``job_type`` is ``teacher``, ``search`` or ``method``, and the study's name a tag. A
    run that is resumed goes on under its id. Without a login it is written offline.

    Args:
        run: The run.
        study: The study's folder.
        project: The W&B project.
    """
    words = [run.method, run.direction, run.regime, run.tuned]
    logger = WandbLogger(
        name=run.name,
        save_dir=study / "runs" / run.name,
        project=project,
        id=run_id(study.resolve().name, run.name),
        offline=is_offline(),
        group=" | ".join(word for word in words if word)[:128],  # W&B takes no more
        job_type=job_type(run),
        tags=[study.resolve().name[:64]],
    )
    return without_warning(logger)


@contextmanager
def wandb_loggers(run: Run, study: Path, project: str | None) -> Iterator[list[WandbLogger]]:
    """Give the logger of a run, none without a project, and end its W&B run with the block."""
    if project is None:
        yield []
        return
    # It takes a second to import.
    import wandb

    failed = 1
    try:
        yield [cell_logger(run, study, project)]
        failed = 0
    finally:
        # The next run of this process must have its own.
        if wandb.run is not None:
            wandb.finish(exit_code=failed)


def job_type(run: Run) -> str:
    """Return what a run is for.

    Example:
        >>> job_type(Run("teacher", "audio", "few labels", 0, "", ()))
        'teacher'
    """
    if run.method == "teacher":
        return "teacher"
    return "search" if run.searches else "method"


def is_offline() -> bool:
    """Return whether to write offline: there is no login, and no mode is chosen."""
    return "WANDB_MODE" not in os.environ and not has_login()


def run_id(*names: str) -> str:
    """Return an id that is the same for the same names.

    Example:
        >>> run_id("study", "run") == run_id("study", "run") != run_id("study", "other")
        True
    """
    return hashlib.sha256(repr(names).encode()).hexdigest()[:16]
