"""A study's results as files: one CSV row per run, and their provenance as JSON."""

import csv
import importlib.metadata
import json
import math
import platform
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from fdkd_lightning.study.cell import Result, read_result
from fdkd_lightning.study.plan import Run, Study, is_config, method_runs, teacher_runs

Column = tuple[str, str]
"""Direction and regime."""

Scores = dict[Column, dict[str, list[float]]]
"""Column -> method -> one score per seed, in the same order of seeds for all."""

KEYS = ("method", "direction", "regime", "seed", "tuned", "chosen")
VALUES = tuple(f.name for f in fields(Result) if f.name.startswith(("val", "best", "test")))


@dataclass
class Row:
    """A run with its metrics; ``chosen``: its tuning setting is the best on validation data."""

    method: str
    direction: str
    regime: str
    seed: int
    tuned: str
    chosen: bool
    values: dict[str, float]


def collect(study: Study) -> list[Row]:
    """Collect the rows of the runs that have a result, the teachers' first."""
    folder = study.folder / "runs"
    runs = [*dict.fromkeys(teacher_runs(study).values()), *method_runs(study)]
    # Method and column -> tuning setting -> validation metric of each seed.
    validation: dict[tuple[str, ...], dict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    results = []
    for run in runs:
        result = read_result(run, folder, study.metric)
        if result is None:
            continue
        results.append((run, result))
        validation[_key(run)][run.tuned].append(getattr(result, f"val_{study.epoch}"))
    best = {
        # A setting that failed with some seeds comes after those that did not.
        key: max(settings, key=lambda tuned: (len(settings[tuned]), math.fsum(settings[tuned])))
        for key, settings in validation.items()
    }
    return [
        Row(
            run.method,
            run.direction,
            run.regime,
            run.seed,
            run.tuned,
            best[_key(run)] == run.tuned,
            {name: getattr(result, name) for name in VALUES}
            | {f"test_{name}": value for name, value in result.heads.items()},
        )
        for run, result in results
    ]


def write_results(
    study: Study, rows: Sequence[Row], folder: Path, failures: Mapping[str, str] | None = None
) -> None:
    """Write ``results.csv`` (the rows) and ``results.json`` (the provenance).

    Args:
        study: The study.
        rows: Rows of the runs that have a result.
        folder: Folder to write into.
        failures: Name of each run without a result -> its error.
    """
    heads = dict.fromkeys(name for row in rows for name in row.values if name not in VALUES)
    with (folder / "results.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*KEYS, *VALUES, *heads])
        for row in rows:
            table.writerow(
                [getattr(row, key) for key in KEYS]
                + [row.values.get(name, "") for name in (*VALUES, *heads)]
            )
    provenance = _provenance(study) | {"failures": dict(failures or {})}
    (folder / "results.json").write_text(json.dumps(provenance, indent=1, default=str))


def read_results(folder: Path) -> tuple[dict[str, Any], list[Row]]:
    """Read the files of :func:`write_results`: the study's settings, and the rows.

    The settings also hold ``warnings`` and ``failures`` (run -> error).

    Args:
        folder: Folder with ``results.csv`` and ``results.json``.

    Raises:
        FileNotFoundError: If the folder holds no results.
    """
    path = folder / "results.csv"
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: give the folder of a finished study")
    with path.open(newline="") as file:
        rows = [
            Row(
                record["method"],
                record["direction"],
                record["regime"],
                int(record["seed"]),
                record["tuned"],
                record["chosen"] == "True",
                {k: float(v) for k, v in record.items() if k not in KEYS and v != ""},
            )
            for record in csv.DictReader(file)
        ]
    provenance = json.loads((folder / "results.json").read_text())
    # Results written before failures were kept lack the key.
    added = {"warnings": provenance["warnings"], "failures": provenance.get("failures", {})}
    return provenance["study"] | added, rows


def scores(settings: dict[str, Any], rows: Sequence[Row]) -> Scores:
    """Return the reported test metric per column and method, in the order of the study's file.

    The scores of a method are those of all seeds, in ascending order; a failed run's is NaN.

    Args:
        settings: The study's settings, see :func:`read_results`.
        rows: Rows of all runs.
    """
    value = f"test_{settings['epoch']}"
    chosen = {
        (row.method, row.direction, row.regime, row.seed): row.values[value]
        for row in rows
        if row.chosen and row.method != "teacher"
    }
    seeds = sorted({*settings.get("seeds", ()), *(key[-1] for key in chosen)})
    return {
        (direction, regime): {
            method: [chosen.get((method, direction, regime, seed), math.nan) for seed in seeds]
            for method in settings["methods"]
        }
        for regime in settings["regimes"]
        for direction in settings["directions"]
    }


def _key(run: Run) -> tuple[str, ...]:
    return run.method, run.direction, run.regime


def _provenance(study: Study) -> dict[str, Any]:
    runs = [*dict.fromkeys(teacher_runs(study).values()), *method_runs(study)]
    configs = {arg: Path(arg).read_text() for run in runs for arg in run.args if is_config(arg)}
    found = (read_result(run, study.folder / "runs", study.metric) for run in runs)
    results = [result for result in found if result is not None]
    packages = ("fdkd_lightning", "torch", "lightning", "torchmetrics", "timm", "torchaudio")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "study": asdict(study),
        "configs": configs,
        "warnings": list(dict.fromkeys(w for result in results for w in result.warnings)),
        "versions": {"python": platform.python_version(), **versions},
        # Several if the code changed between runs.
        "commits": sorted({result.commit or "unknown" for result in results}),
    }
