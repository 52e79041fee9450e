"""The classes that gained and lost by a study's methods, where its runs hold predictions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fdkd_lightning.report.prediction_file import Predictions, read_predictions
from fdkd_lightning.study.paired_difference import paired_difference
from fdkd_lightning.study.planned_run import run_slug
from fdkd_lightning.study.results import Row

Accuracies = dict[str, tuple[float, int]]
"""Class -> accuracy as a fraction, and number of samples; classes without samples are left out."""


class ClassChange(NamedTuple):
    """A method's accuracy on a class against the baseline's.

    Args:
        regime: Name of the regime.
        direction: Name of the direction.
        method: Name of the method.
        label: Name of the class.
        samples: Its samples over all seeds.
        before: Mean accuracy of the baseline in percent.
        after: Mean accuracy of the method in percent.
        mean: Mean paired difference in percentage points.
        low: Lower end of the 95 % interval; nan with fewer than two seeds.
        high: Upper end.
        n: Number of seeds in which both have predictions.
    """

    regime: str
    direction: str
    method: str
    label: str
    samples: int
    before: float
    after: float
    mean: float
    low: float
    high: float
    n: int

    @property
    def sign(self) -> int:
        """1: gained significantly, -1: lost, 0: neither."""
        return (self.low > 0) - (self.high < 0)


class ClassChanges(NamedTuple):
    """All changes, and the tables of predictions that are left out.

    Args:
        changes: The changes.
        left_out: Run -> why its predictions are left out.
        is_checked: Whether the predictions are known to be those of the table's scores.
    """

    changes: list[ClassChange]
    left_out: dict[str, str]
    is_checked: bool


def class_changes(folder: Path, settings: Mapping[str, Any], rows: Sequence[Row]) -> ClassChanges:
    """Compare each method's accuracy per class with the baseline's, seed by seed.

    Damaged tables are left out, and predictions whose accuracy is not the run's score: they are of
    other weights or samples. Of other metrics than accuracy this cannot be seen.

    Args:
        folder: The study's folder; its runs are in ``runs/``.
        settings: The study's settings, see :func:`~fdkd_lightning.study.results.read_results`.
        rows: Rows of all runs.
    """
    left_out: dict[str, str] = {}
    found: dict[tuple[str, str, str], dict[int, Accuracies]] = {}
    tables = _tables(folder)
    checked = settings["metric"] == "accuracy"
    for row in rows:
        if row.chosen and row.method != "teacher":
            score = row.values[f"test_{settings['epoch']}"] if checked else None
            slug = run_slug(row.method, row.direction, row.regime, row.tuned, row.seed)
            read = [(path, _read(path, score)) for path in tables.get(slug, [])]
            used = next((x for _, x in read if isinstance(x, Predictions)), None)
            if used is not None:
                key = (row.regime, row.direction, row.method)
                found.setdefault(key, {})[row.seed] = _accuracies(used)
            else:
                left_out |= {path.parent.name: x for path, x in read if isinstance(x, str)}
    changes = []
    for (regime, direction, method), seeds in found.items():
        baseline = found.get((regime, direction, settings["baseline"]), {})
        if method != settings["baseline"]:
            both = [(baseline[seed], seeds[seed]) for seed in sorted(seeds) if seed in baseline]
            changes += [ClassChange(regime, direction, method, *x) for x in _changes(both)]
    return ClassChanges(changes, left_out, checked)


def _tables(folder: Path) -> dict[str, list[Path]]:
    """The tables of predictions by the name of their run, without its fingerprint."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("runs/*/predictions.csv")):
        if match := re.fullmatch(r"(.+)-[0-9a-f]{8}", path.parent.name):
            found.setdefault(match[1], []).append(path)
    return found


def _read(path: Path, score: float | None) -> Predictions | str:
    try:
        found = read_predictions(path, probabilities=False)
    except ValueError as error:  # shown on the page, which has the other runs
        return str(error)
    if isinstance(found, str):
        return f"predictions.csv holds {found}"
    if score is not None and abs(found.accuracy - score) > 1e-5:
        return (
            f"its predictions have the accuracy {100 * found.accuracy:.2f} %, the results "
            f"{100 * score:.2f} %: they are of other weights or samples"
        )
    return found


def _accuracies(predictions: Predictions) -> Accuracies:
    k = len(predictions.names)
    samples = torch.bincount(predictions.label, minlength=k).tolist()
    hits = predictions.label[predictions.label == predictions.predicted]
    right = torch.bincount(hits, minlength=k).tolist()
    counts = zip(predictions.names, right, samples, strict=True)
    return {name: (r / n, n) for name, r, n in counts if n}


def _changes(both: Sequence[tuple[Accuracies, Accuracies]]) -> Iterator[tuple[Any, ...]]:
    for name in dict.fromkeys(name for before, _ in both for name in before):
        pairs = [(x[name], y[name]) for x, y in both if name in x and name in y]
        if pairs:
            before, after = ([side[0] for side in sides] for sides in zip(*pairs, strict=True))
            difference = paired_difference(after, before)
            yield (
                name,
                sum(side[1] for _, side in pairs),
                100 * sum(before) / len(before),
                100 * sum(after) / len(after),
                100 * difference.mean,
                100 * difference.low,
                100 * difference.high,
                difference.n,
            )
