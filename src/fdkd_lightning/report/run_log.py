"""The values that a run has logged, from the CSV logs in its folder."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fdkd_lightning.files.read_file import csv_rows
from fdkd_lightning.files.run_logs import has_training, log_files

MOST_POINTS = 400
"""Longer series are drawn as the means of as many stretches."""


class Point(NamedTuple):
    """One value of a series.

    Args:
        step: Optimizer steps taken before it was logged, as the log counts them.
        epoch: The epoch, counted from 0; None for a value logged outside of one.
        value: The value, which may not be finite.
    """

    step: int
    epoch: int | None
    value: float


Series = dict[str, list[Point]]
"""Name, such as ``train/loss``, -> its points by step."""


def read_series(folder: Path, resumed: bool = True) -> Series:
    """Read the values of the latest training in a run's folder, and its metrics.

    Each start of ``fdkd`` has a log of its own, ``logs/version_N/metrics.csv``. The values of a
    resumed run replace those of the earlier logs from its first step on. Logs of evaluations alone
    are left out.

    Args:
        folder: The run's folder.
        resumed: Whether the run went on from a checkpoint; if not, earlier logs are those of other
            runs.

    Raises:
        ValueError: If a log is damaged.
    """
    found: Series = {}
    trained = [read_log(path) for path in log_files(folder) if has_training(path)]
    for log in trained if resumed else trained[-1:]:
        start = min(point.step for points in log.values() for point in points)
        found = {
            name: [point for point in points if point.step < start]
            for name, points in found.items()
        }
        for name, points in log.items():
            found.setdefault(name, []).extend(points)
    return {name: points for name, points in found.items() if points}


def read_log(path: Path) -> Series:
    """Read one CSV log.

    A last line without an end, as a killed run leaves, is left out: its last number may be torn.

    Raises:
        ValueError: If a cell is no number, or a row has not a cell per column; the message names
            the line.
    """
    lines: Iterable[tuple[int, list[str]]] = csv_rows(path)
    if not path.read_bytes().endswith(b"\n"):
        lines = [*lines][:-1]
    lines = iter(lines)
    _, header = next(lines, (1, ["step"]))
    if "step" not in header:
        raise ValueError(f"{path} has no column step: delete it, and the report does without")
    found: Series = {}
    for line, cells in lines:
        try:
            row = dict(zip(header, cells, strict=True))
            step = int(row.pop("step"))
            epoch = int(text) if (text := row.pop("epoch", "")) else None
            for name, text in row.items():
                if text:
                    found.setdefault(name, []).append(Point(step, epoch, float(text)))
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"{path}, line {line} is damaged ({error}): delete the line, or the file, and the "
                "report does without"
            ) from error
    return found


def without_evaluations(series: Series, steps: int) -> Series:
    """Leave out what was logged after a finished fit: values of one checkpoint, and no curve.

    Args:
        series: The values of a log.
        steps: The steps that the fit took. Its own values are logged before the last one is
            counted; a study evaluates in the same process, and then all are counted.

    Example:
        >>> series = {"val/loss": [Point(9, 0, 0.5), Point(10, 1, 0.4)], "test/loss": []}
        >>> without_evaluations(series, steps=10)
        {'val/loss': [Point(step=9, epoch=0, value=0.5)]}
    """
    kept = {
        name: [point for point in points if point.step < steps] for name, points in series.items()
    }
    return {name: points for name, points in kept.items() if points}


def thin_out(points: Sequence[Point]) -> list[Point]:
    """Return at most 400 points: the means of stretches of equally many.

    A stretch with a value that is not finite has none, so that a curve shows a gap there.
    """
    size = -(-len(points) // MOST_POINTS)
    stretches = (points[i : i + size] for i in range(0, len(points), size or 1))
    return [
        part[-1]._replace(value=math.fsum(x.value for x in part) / len(part))
        if all(math.isfinite(x.value) for x in part)
        else part[-1]._replace(value=math.nan)
        for part in stretches
    ]


def series_rows(series: Mapping[str, Iterable[Point]]) -> list[tuple[Any, ...]]:
    """Return the points as rows of a table: name, step, epoch, value."""
    return [(name, *point) for name, points in series.items() for point in points]


def logged_once(series: Series) -> dict[str, float]:
    """Return the values that are no curve: logged once outside of an epoch, or in a test.

    Example:
        >>> logged_once({"teacher/audio/accuracy": [Point(0, None, 0.5)]})
        {'teacher/audio/accuracy': 0.5}
    """
    return {
        name: points[0].value
        for name, points in series.items()
        if len(points) == 1 and (points[0].epoch is None or name.startswith("test"))
    }


def not_finite(series: Series) -> dict[str, Any]:
    """Return name -> the first point of each series that is NaN or infinite.

    Example:
        >>> not_finite({"train/loss": [Point(1, 0, 2.0), Point(2, 1, math.nan)]})
        {'train/loss': Point(step=2, epoch=1, value=nan)}
    """
    bad = {
        name: [point for point in points if not math.isfinite(point.value)]
        for name, points in series.items()
    }
    return {name: points[0] for name, points in bad.items() if points}
