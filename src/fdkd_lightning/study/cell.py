"""Train and evaluate one cell of a study.

A cell is one run: one method (or teacher) in one direction and regime, with one seed and one
setting of the tuning grid.
"""

import contextlib
import json
import re
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from filelock import FileLock
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from fdkd_lightning.files.atomic_write import atomic_write, naming
from fdkd_lightning.files.checkpoint_file import load_checkpoint
from fdkd_lightning.files.read_file import read_json
from fdkd_lightning.study.head_metrics import HeadMetrics
from fdkd_lightning.study.kept_checkpoints import (
    DamagedRunWarning,
    check_finite,
    forget_damaged,
)
from fdkd_lightning.study.planned_run import Run
from fdkd_lightning.study.study_cli import StudyCLI
from fdkd_lightning.study.wandb_run import wandb_loggers
from fdkd_lightning.training.quiet_lightning import quiet_lightning
from fdkd_lightning.training.run.provenance import package_commit
from fdkd_lightning.training.teacher_check import TeacherWarning
from fdkd_lightning.training.trainer_callbacks import trainer_callbacks


@dataclass
class Result:
    """Metrics and provenance of one finished run.

    Args:
        metric: Name of the metric.
        val_last: Metric on the validation set, weights of the last epoch.
        val_best: Metric on the validation set, weights of the best validation epoch.
        best_epoch: The best validation epoch, counted from 0.
        test_last: Metric on the test set, weights of the last epoch; None for a run of a search.
        test_best: Metric on the test set, weights of the best validation epoch; None as above.
        heads: Test metrics of the classifiers in the criterion: ``last/<head>`` and
            ``best/<head>``.
        seconds: Wall-clock time of the run in seconds, counted from its last start.
        warnings: Warnings about the teachers, and about checkpoints that were damaged.
        commit: Git commit of the package's clone, with "-dirty" appended if it has uncommitted
            changes; None if the package is not in a clone.
    """

    metric: str
    val_last: float
    val_best: float
    best_epoch: int
    test_last: float | None = None
    test_best: float | None = None
    heads: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    commit: str | None = None


SHOWN = rf"^(?:{TeacherWarning.__name__}|{DamagedRunWarning.__name__}): (.*)"
"""The warnings of a run's log that the study reports."""


def run_cell(run: Run, folder: Path, metric: str, project: str | None = None) -> str | None:
    """Train and evaluate a run that has no result yet; resume one that was interrupted.

    Args:
        run: The run.
        folder: Folder of all runs.
        metric: Name of the metric.
        project: W&B project to log to; None: none.

    Returns:
        None on success, else the error in one line; the traceback is in the run's ``run.log``, if
        that can be written.
    """
    run_folder = folder / run.name
    try:
        with naming(run_folder):
            run_folder.mkdir(parents=True, exist_ok=True)
        # A worker of a killed study may still be finishing this run.
        with FileLock(run_folder / ".lock"):
            if read_result(run, folder, metric) is not None:
                return None
            return _run_with_log(run, folder, metric, project)
    except OSError as error:  # of the run's own files: the others may go on
        return f"{run.name}: {error}"


def _run_with_log(run: Run, folder: Path, metric: str, project: str | None) -> str | None:
    log_path = folder / run.name / "run.log"
    with (
        naming(log_path),
        log_path.open("a", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
        quiet_lightning(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("always", TeacherWarning)
        warnings.simplefilter("always", DamagedRunWarning)
        warnings.showwarning = _show_warning
        try:
            with wandb_loggers(run, folder.parent, project) as loggers:
                result = _train_and_evaluate(run, folder, metric, loggers)
        except SIGTERMException:  # who ends a run by a signal ends the study, which can resume
            raise
        except (Exception, SystemExit):  # reported by the caller, beside the other runs
            traceback.print_exc()
            return f"{run.name}: {cause_of_failure(log_path.read_text())} (see {log_path})"
    # Read from the log, which also has the warnings of earlier starts.
    text = log_path.read_text()
    result.warnings = list(dict.fromkeys(re.findall(SHOWN, text, re.M)))
    with atomic_write(log_path.with_name("result.json"), "w") as file:
        json.dump(asdict(result), file, indent=1)
    return None


def read_result(run: Run, folder: Path, metric: str) -> Result | None:
    """Read the result of a run.

    Returns:
        None if the run is unfinished, was evaluated by another metric, or has a damaged file (which
        a warning names): it is then made again.
    """
    path = folder / run.name / "result.json"
    if not path.exists():
        return None
    try:
        result = Result(**read_json(path))
    except (ValueError, TypeError) as error:
        rank_zero_warn(f"{path} is damaged, and the run is made again: {error}")
        return None
    return result if result.metric == metric else None


def _train_and_evaluate(run: Run, folder: Path, metric: str, loggers: Sequence[Logger]) -> Result:
    start = time.perf_counter()
    run_folder = folder / run.name
    args = [
        "fit",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
        f"--checkpoint.monitor=val/{metric}",
        *run.command(),
        f"--trainer.default_root_dir={run_folder}",
    ]
    checkpoints = run_folder / "checkpoints"
    if (damage := forget_damaged(run_folder)) is not None:
        warnings.warn(f"{run.name}: {damage}", DamagedRunWarning, stacklevel=2)
    if (checkpoints / "last.ckpt").exists():
        args.append("--ckpt_path=last")
    teachers = {m: folder / t.name / "checkpoints/best.ckpt" for m, t in run.teachers}
    cli = StudyCLI(args, teachers, loggers)
    last, best = (
        load_checkpoint(checkpoints / f"{name}.ckpt", f"{run.name}: {name}.ckpt")
        for name in ("last", "best")
    )
    check_finite(run.name, last["state_dict"])
    heads = HeadMetrics(metric)
    trainer_callbacks(cli.trainer).append(heads)
    found: dict[str, Any] = {"metric": metric, "heads": {}}
    splits = {"val": cli.trainer.validate}
    if not run.searches:
        splits["test"] = cli.trainer.test
    for which in ("last", "best"):
        if which == "best" and best["global_step"] == last["global_step"]:
            # Both checkpoints hold the same weights.
            found |= {f"{split}_best": found[f"{split}_last"] for split in splits}
            found["heads"] |= {f"best/{name}": value for name, value in heads.values().items()}
            continue
        for split, evaluate in splits.items():
            (values,) = evaluate(
                cli.model,
                datamodule=cli.datamodule,
                ckpt_path=checkpoints / f"{which}.ckpt",
                verbose=False,
            )
            if f"{split}/{metric}" not in values:
                raise ValueError(
                    f"metric={metric!r} is not logged: choose one of {', '.join(values)}"
                )
            found[f"{split}_{which}"] = values[f"{split}/{metric}"]
        found["heads"] |= {f"{which}/{name}": value for name, value in heads.values().items()}
    check_finite(run.name, found | found["heads"])
    for logger in loggers:
        logger.log_metrics({f"result/{split}": found[split] for split in found if "_" in split})
    return Result(
        **found,
        best_epoch=int(best["epoch"]),
        seconds=round(time.perf_counter() - start, 1),
        commit=package_commit(),
    )


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"{category.__name__}: {message}", file=sys.stderr)


def cause_of_failure(log: str) -> str:
    """Return the cause of a failure: the parser's error, or the last line of the traceback."""
    text = log.rstrip()
    last = text.rpartition("\n")[2]
    if last.startswith("SystemExit"):
        # Lines of a traceback, which may hold the word too, are indented.
        causes = re.findall(r"^\S*error: (.*?)(?=^Traceback|\Z)", text, re.M | re.S)
        return " ".join(causes[-1].split()) if causes else last
    return last
