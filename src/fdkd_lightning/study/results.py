"""A study's results as files: one CSV row per run, and their provenance as JSON."""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.files.read_file import csv_rows, read_json, read_text
from fdkd_lightning.study.cell import Result
from fdkd_lightning.study.plan import Study
from fdkd_lightning.study.planned_run import is_config
from fdkd_lightning.study.tuning import all_runs, best_settings, finished, run_key
from fdkd_lightning.training.run.provenance import package_versions
from fdkd_lightning.training.run.redaction import redact

Column = tuple[str, str]
"""Direction and regime."""

Scores = dict[Column, dict[str, list[float]]]
"""Column -> method -> one score per seed, in the same order of seeds for all."""

RUN = ("method", "direction", "regime", "seed", "tuned")
KEYS = (*RUN, "chosen")
PROVENANCE = ("configs", "versions", "commits", "warnings", "failures")
"""Keys that :func:`read_results` adds to a study's settings."""
LOCAL = ("folder", "workers", "wandb")
"""Settings of a study that state nothing about its results."""
VALUES = tuple(f.name for f in fields(Result) if f.name.startswith(("val", "best", "test")))


REPEAT = "run the study again, which keeps its finished runs"


@dataclass
class Row:
    """A run with its metrics; ``chosen``: it is reported, as no run of a search is.

    ``seconds`` is the wall-clock time from its last start, None if it is not known. Repeated runs
    differ in it alone, so it is kept in a file of its own and is not compared.
    """

    method: str
    direction: str
    regime: str
    seed: int
    tuned: str
    chosen: bool
    values: dict[str, float]
    seconds: float | None = field(default=None, compare=False)


def collect(study: Study) -> list[Row]:
    """Collect the rows of the runs that have a result, the teachers' first."""
    results = finished(study, all_runs(study))
    best = best_settings(results, study.epoch)
    return [
        Row(
            run.method,
            run.direction,
            run.regime,
            run.seed,
            run.tuned,
            not run.searches and (bool(study.tune_seeds) or best[run_key(run)] == run.tuned),
            {name: value for name in VALUES if (value := getattr(result, name)) is not None}
            | {f"test_{name}": value for name, value in result.heads.items()},
            result.seconds,
        )
        for run, result in results
    ]


def write_results(
    study: Study, rows: Sequence[Row], folder: Path, failures: Mapping[str, str] | None = None
) -> None:
    """Write the rows (``results.csv``, ``seconds.csv``) and their provenance (``results.json``)."""
    heads = dict.fromkeys(name for row in rows for name in row.values if name not in VALUES)
    with atomic_write(folder / "results.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*KEYS, *VALUES, *heads])
        for row in rows:
            table.writerow(
                [getattr(row, key) for key in KEYS]
                + [row.values.get(name, "") for name in (*VALUES, *heads)]
            )
    with atomic_write(folder / "seconds.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*RUN, "seconds"])
        table.writerows([*(getattr(row, key) for key in RUN), row.seconds] for row in rows)
    provenance = _provenance(study) | {"failures": redact(dict(failures or {}))}
    with atomic_write(folder / "results.json", "w") as file:
        json.dump(provenance, file, indent=1, default=str)


def read_results(folder: Path) -> tuple[dict[str, Any], list[Row]]:
    """Read the files of :func:`write_results`: the study's settings, and the rows.

    The settings also hold the provenance: ``configs``, ``versions``, ``commits``, ``warnings`` and
    ``failures`` (run -> error). Published results may lack ``seconds.csv``.
    """
    path = folder / "results.csv"
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: give the folder of a finished study")
    provenance = read_json(folder / "results.json", REPEAT)
    rows = []
    lines = csv_rows(path)
    _, header = next(lines, (1, []))
    for line, cells in lines:
        try:
            row = _row(dict(zip(header, cells, strict=False)))
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"{path}, line {line}: {str(error)[:80]} is missing or no number: {REPEAT}"
            ) from error
        if len(cells) != len(header):
            raise ValueError(
                f"{path}, line {line}: {len(cells)} cells for {len(header)} columns: {REPEAT}"
            )
        rows.append(row)
    # Results written before failures were kept lack the key.
    added = {name: provenance.get(name, {}) for name in PROVENANCE}
    failures = added["failures"]
    if not (rows or failures) or "study" not in provenance or "warnings" not in provenance:
        damaged = folder / "results.json" if rows else path
        raise ValueError(f"{damaged} is empty or not complete: {REPEAT}")
    _add_seconds(folder / "seconds.csv", rows)
    return provenance["study"] | added, rows


def _add_seconds(path: Path, rows: Sequence[Row]) -> None:
    if not path.exists():
        return
    lines = csv_rows(path)
    if next(lines, (1, []))[1] != [*RUN, "seconds"]:
        raise ValueError(f"{path} must have the columns {', '.join(RUN)}, seconds: {REPEAT}")
    found: dict[tuple[str, ...], float] = {}
    for line, cells in lines:
        try:
            *key, seconds = cells
            found[tuple(key)] = float(seconds)
        except ValueError as error:
            raise ValueError(
                f"{path}, line {line}: {cells[-1][:80]!r} is no number of seconds: {REPEAT}"
            ) from error
    for row in rows:
        row.seconds = found.get(tuple(str(getattr(row, key)) for key in RUN))


def _row(record: dict[str, str]) -> Row:
    return Row(
        record["method"],
        record["direction"],
        record["regime"],
        int(record["seed"]),
        record["tuned"],
        record["chosen"] == "True",
        {k: float(v) for k, v in record.items() if k not in KEYS and v != ""},
    )


def scores(settings: dict[str, Any], rows: Sequence[Row]) -> Scores:
    """Return the reported test metric per column and method, in the order of the study's file.

    The scores of a method are those of all seeds, in ascending order; a failed run's is NaN.
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


def _configs(paths: Iterable[str]) -> dict[str, Any]:
    """Name -> content of each configuration, without its comments."""
    found: dict[str, Any] = {}
    for path in paths:
        content = redact(yaml.safe_load(read_text(Path(path))))
        name, count = redact(path), 1
        # Files of one name in several folders.
        while found.get(name, content) != content:
            count += 1
            name = f"{redact(path)} ({count})"
        found[name] = content
    return found


def _provenance(study: Study) -> dict[str, Any]:
    paths = dict.fromkeys(arg for run in all_runs(study) for arg in run.args if is_config(arg))
    results = [result for _, result in finished(study, all_runs(study))]
    settings = redact(asdict(study))
    return {
        "study": {name: value for name, value in settings.items() if name not in LOCAL},
        "configs": _configs(paths),
        "warnings": redact([*dict.fromkeys(w for result in results for w in result.warnings)]),
        "versions": package_versions(),
        **({} if study.wandb is None else {"wandb": study.wandb}),
        # Several if the code changed between runs.
        "commits": sorted({result.commit or "unknown" for result in results}),
    }
