"""One run of a study, from its arguments to its numbers."""

import contextlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import torch
from filelock import FileLock
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger

from fdkd_lightning.study.heads import HeadMetrics
from fdkd_lightning.study.plan import Run
from fdkd_lightning.training.command import FDKDCLI
from fdkd_lightning.training.teacher_check import TeacherWarning


@dataclass
class Result:
    """What a run found.

    Args:
        metric: The metric's name.
        val_last: The metric on validation data, of the last epoch's weights.
        val_best: Of the weights that were best on validation data.
        best_epoch: Their epoch, from 0.
        test_last: As ``val_last``, on test data.
        test_best: As ``val_best``, on test data.
        heads: The same two on test data for the criterion's own classifiers, by
            ``last/<head>`` and ``best/<head>``.
        seconds: What the run took, from its last start.
        warnings: What was said of its teachers.
        commit: Of the clone that the package ran from, "-dirty" with uncommitted changes; None
            where there is none.
    """

    metric: str
    val_last: float
    val_best: float
    best_epoch: int
    test_last: float
    test_best: float
    heads: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    commit: str | None = None


class StudyCLI(FDKDCLI):
    """``fdkd fit`` with the study's own teachers, without a progress bar.

    Args:
        args: The arguments.
        teachers: Modality -> checkpoint that replaces the configuration's.
    """

    def __init__(self, args: list[str], teachers: Mapping[str, Path]) -> None:
        self._teachers = teachers
        super().__init__(args)

    def before_instantiate_classes(self) -> None:
        """Put in the teachers, and the seed of the data where it has one."""
        config = self.config.fit
        arguments = config.model.get("init_args") or {}
        for modality, teacher in (arguments.get("teachers") or {}).items():
            if modality not in self._teachers or "checkpoint" not in teacher.get("init_args", {}):
                raise ValueError(
                    f"model.teachers.{modality} ({teacher.class_path}) cannot take the study's "
                    f"teacher of {', '.join(self._teachers) or 'no modality'}: name that modality "
                    "in the direction's teachers, and make it a PretrainedModel"
                )
            teacher.init_args.checkpoint = str(self._teachers[modality])
        if "seed" in (config.data.get("init_args") or {}):
            config.data.init_args.seed = config.seed_everything
        super().before_instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Log to CSV, now and then."""
        kwargs["logger"] = CSVLogger(self._root, name="logs", flush_logs_every_n_steps=1000)
        return super().instantiate_trainer(**kwargs)


def execute(run: Run, folder: Path, metric: str) -> str | None:
    """Do a run unless its result is there; go on with one that was cut off.

    Args:
        run: The run.
        folder: Of all runs; each has one below it.
        metric: The name of the metric that is kept.

    Returns:
        None, or what went wrong; the details are in the run's ``run.log``.
    """
    own = folder / run.name
    own.mkdir(parents=True, exist_ok=True)
    # A killed study may leave a worker behind that still finishes its run.
    with FileLock(own / ".lock"):
        if read_result(run, folder, metric) is not None:
            return None
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        with (
            (own / "run.log").open("a", buffering=1) as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("always", TeacherWarning)
            warnings.showwarning = _show_warning
            try:
                result = _run(run, folder, metric)
            except (Exception, SystemExit):  # reported by the caller, beside the other runs
                traceback.print_exc()
                return f"{run.name}: {_error(own / 'run.log')} (see {own / 'run.log'})"
        # From the log, where those of an earlier start are too.
        said = re.findall(r"^TeacherWarning: (.*)", (own / "run.log").read_text(), re.MULTILINE)
        result.warnings = list(dict.fromkeys(said))
        temporary = own / "result.json.tmp"
        temporary.write_text(json.dumps(asdict(result), indent=1))
        os.replace(temporary, own / "result.json")
    return None


def read_result(run: Run, folder: Path, metric: str) -> Result | None:
    """The result of a run that was finished, if it was evaluated by this metric."""
    path = folder / run.name / "result.json"
    if not path.exists():
        return None
    result = Result(**json.loads(path.read_text()))
    return result if result.metric == metric else None


def _run(run: Run, folder: Path, metric: str) -> Result:
    start = time.perf_counter()
    own = folder / run.name
    args = [
        "fit",
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_model_summary=false",
        f"--checkpoint.monitor=val/{metric}",
        *run.command(),
        f"--trainer.default_root_dir={own}",
    ]
    checkpoints = own / "checkpoints"
    if (checkpoints / "last.ckpt").exists():
        args.append("--ckpt_path=last")
    cli = StudyCLI(args, {m: folder / t.name / "checkpoints/best.ckpt" for m, t in run.teachers})
    last, best = (
        torch.load(checkpoints / f"{name}.ckpt", map_location="cpu", weights_only=True)
        for name in ("last", "best")
    )
    heads = HeadMetrics(metric)
    cli.trainer.callbacks.append(heads)  # type: ignore[attr-defined]  # a connector sets it
    found: dict[str, Any] = {"metric": metric, "heads": {}}
    for which in ("last", "best"):
        if which == "best" and best["global_step"] == last["global_step"]:
            # The same weights once more.
            found |= {f"{split}_best": found[f"{split}_last"] for split in ("val", "test")}
            found["heads"] |= {f"best/{name}": value for name, value in heads.values().items()}
            continue
        for split, evaluate in (("val", cli.trainer.validate), ("test", cli.trainer.test)):
            (values,) = evaluate(
                cli.model,
                datamodule=cli.datamodule,
                ckpt_path=checkpoints / f"{which}.ckpt",
                verbose=False,
            )
            if f"{split}/{metric}" not in values:
                raise ValueError(f"metric={metric!r} is not logged, only: {', '.join(values)}")
            found[f"{split}_{which}"] = values[f"{split}/{metric}"]
        found["heads"] |= {f"{which}/{name}": value for name, value in heads.values().items()}
    return Result(
        **found,
        best_epoch=int(best["epoch"]),
        seconds=round(time.perf_counter() - start, 1),
        commit=_commit(),
    )


def _commit() -> str | None:
    here = Path(__file__).parent
    git = ["git", "-C", str(here)]
    # A package inside some other project's environment has no commit of its own.
    if shutil.which("git") is None or not _output([*git, "ls-files", Path(__file__).name]):
        return None
    dirty = _output([*git, "status", "--porcelain", "--untracked-files=no", "."])
    return _output([*git, "rev-parse", "HEAD"]) + ("-dirty" if dirty else "")


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"{category.__name__}: {message}", file=sys.stderr)


def _error(log: Path) -> str:
    """The last line that says what went wrong: a parser's, or a traceback's end."""
    text = log.read_text().rstrip()
    last = text.rpartition("\n")[2]
    if last.startswith("SystemExit"):
        return " ".join(text.rpartition("error: ")[2].partition("\nTraceback")[0].split())
    return last
