"""Files of a run's folder that its report uses."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from fdkd_lightning.files.read_file import read_text
from fdkd_lightning.files.run_logs import has_training, log_files
from fdkd_lightning.report.prediction_file import Predictions, read_predictions
from fdkd_lightning.report.run_log import Series, read_series, without_evaluations
from fdkd_lightning.training.run.redaction import redact
from fdkd_lightning.training.run.run_record import read_run
from fdkd_lightning.training.summary import following_command


@dataclass(frozen=True)
class RunFiles:
    """Files of a run.

    Args:
        folder: The run's folder.
        fit: The entry ``fit`` of ``run.json``; None: not recorded.
        checkpoints: Of ``run.json``; empty until fit has finished.
        evaluations: Of ``run.json``.
        config: Configuration; None: in no file.
        config_file: The configuration that the run has saved; None: there is none.
        series: What training logged, see :func:`~fdkd_lightning.report.run_log.read_series`.
        predictions: Labelled predictions; or in words why there are none.
    """

    folder: Path
    fit: Mapping[str, Any] | None
    checkpoints: Mapping[str, Any]
    evaluations: list[Mapping[str, Any]]
    config: Mapping[str, Any] | None
    config_file: Path | None
    series: Series
    predictions: Predictions | str

    @property
    def monitor(self) -> str | None:
        """Name of the metric that chooses the best epoch; None: not known."""
        name: str | None = self._choice.get("monitor")
        return name

    @property
    def mode(self) -> str:
        """Whether the least value of the monitored metric is the best, ``min``; else ``max``."""
        return "min" if self._choice.get("mode") == "min" else "max"

    @property
    def _choice(self) -> Mapping[str, Any]:
        """Arguments of the checkpoints."""
        return (self.config or {}).get("checkpoint") or {}

    @property
    def chosen_step(self) -> int | None:
        """Step of the chosen epoch's validation, as the log counts; None: not known."""
        best = self.checkpoints.get("best")
        # The log counts from 0, a checkpoint the steps that were taken.
        return None if best is None or best["step"] is None else max(0, best["step"] - 1)

    def command(self, name: str) -> str:
        """Return the command line that goes on from this run, such as its test."""
        if self.config_file is not None:
            # Not the recorded command: that of a study's run lacks the teachers' checkpoints.
            return shlex.join(["fdkd", name, f"--config={self.config_file}"])
        if self.fit is not None:
            return following_command(self.fit["command"], name)
        return f"fdkd {name} --config=FILE"


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run: it has a record, a log or predictions."""
    names = ("run.json", "predictions.csv")
    return any((folder / name).is_file() for name in names) or bool(log_files(folder))


def read_run_files(folder: Path) -> RunFiles:
    """Read what a run's folder holds.

    Raises:
        ValueError: If a file is damaged; the message names it.
    """
    record = read_run(folder) or {"fit": None, "checkpoints": {}, "evaluations": []}
    fit = record["fit"]
    config, config_file = None if fit is None else fit["config"], _config_file(folder)
    if config is None and config_file is not None:
        config = _read_config(config_file)
    series = read_series(folder, resumed=fit is None or fit["resumed_from"] is not None)
    if fit is not None and fit["steps"]:
        series = without_evaluations(series, fit["steps"])
    return RunFiles(
        folder,
        fit,
        record["checkpoints"],
        record["evaluations"],
        config,
        config_file,
        series,
        _predictions(folder / "predictions.csv", fit),
    )


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        content = redact(yaml.safe_load(read_text(path)))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())[:80]
        raise ValueError(
            f"{path} is damaged ({reason}): delete it, and the report does without"
        ) from error
    return content if isinstance(content, Mapping) else {}


def _config_file(folder: Path) -> Path | None:
    """The configuration of the latest training; without a log of one, that of the latest start."""
    paths = {
        int(match[1]): path
        for path in folder.glob("logs/version_*/config.yaml")
        if (match := re.fullmatch(r"version_(\d+)", path.parent.name))
    }
    trained = [n for n, path in paths.items() if has_training(path.with_name("metrics.csv"))]
    return paths[max(trained or paths)] if paths else None


def _predictions(path: Path, fit: Mapping[str, Any] | None) -> Predictions | str:
    if not path.is_file():
        return "there is no predictions.csv"
    started = 0.0 if fit is None else datetime.fromisoformat(fit["started"]).timestamp()
    if path.stat().st_mtime < started:
        return "predictions.csv is older than this training"
    found = read_predictions(path)
    return f"predictions.csv holds {found}" if isinstance(found, str) else found
