"""The CSV logs in a run's folder, one for each start, and the configuration of its fit."""

import re
from pathlib import Path

from fdkd_lightning.files.read_file import csv_rows

EVALUATED = ("val", "test", "epoch", "step")
"""Beginnings of the columns that a log of an evaluation alone has."""


def has_training(path: Path) -> bool:
    """Return whether a CSV log exists and has other values than those of an evaluation."""
    if not path.is_file():
        return False
    _, header = next(csv_rows(path), (1, []))
    return any(not name.startswith(EVALUATED) for name in header)


def log_files(folder: Path) -> list[Path]:
    """Return the CSV logs of a run, the first start's first."""
    found = {
        int(match[1]): path
        for path in folder.glob("logs/version_*/metrics.csv")
        if (match := re.fullmatch(r"version_(\d+)", path.parent.name))
    }
    return [found[number] for number in sorted(found)]


def trained_config(checkpoint: str | Path) -> Path | None:
    """Return the saved configuration of the latest fit in a checkpoint's run folder, if any.

    The checkpoint lies in the folder's ``checkpoints``; logs of a test or a prediction hold no
    training.
    """
    logs = log_files(Path(checkpoint).parent.parent)
    configs = [log.parent / "config.yaml" for log in logs if _is_of_training(log)]
    return next((path for path in reversed(configs) if path.is_file()), None)


def _is_of_training(log: Path) -> bool:
    try:
        return has_training(log)
    except (OSError, ValueError):  # a damaged log: an error names no configuration, and stands
        return False
