"""A study's report as an HTML page."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import Any

from fdkd_lightning.report.answer_text import answers, question_text
from fdkd_lightning.report.class_changes import (
    ClassChange,
    ClassChanges,
    class_changes,
)
from fdkd_lightning.report.comparison_text import comparisons
from fdkd_lightning.report.cost_figure import cost_figures, median_seconds
from fdkd_lightning.report.csv_table import write_table
from fdkd_lightning.report.design_warnings import design_warnings
from fdkd_lightning.report.difference_figure import difference_axis, strips
from fdkd_lightning.report.differences import DifferenceRow, difference_rows
from fdkd_lightning.report.render import render, save_page, yaml_text
from fdkd_lightning.report.score_table import caption, difference_text, score_text, teacher_scores
from fdkd_lightning.report.verdict import summary_text, verdict_text
from fdkd_lightning.study.paired_difference import Difference
from fdkd_lightning.study.results import PROVENANCE, Column, Row, scores

NO_CHANGES = ClassChanges([], {}, is_checked=True)
MOST_CLASSES = 10
"""So many classes that gained, and that lost, are named for each method."""


def write_study_page(folder: Path, settings: dict[str, Any], rows: Sequence[Row]) -> None:
    """Write ``report.html``, and the values of its figures.

    These are ``differences.csv`` and, where runs hold predictions, ``class_changes.csv``.

    Args:
        folder: The study's folder.
        settings: The study's settings, see :func:`~fdkd_lightning.study.results.read_results`.
        rows: Rows of all runs.
    """
    differences = difference_rows(settings, rows)
    write_table(folder / "differences.csv", DifferenceRow._fields, differences)
    classes = class_changes(folder, settings, rows)
    if classes.changes:
        write_table(folder / "class_changes.csv", ClassChange._fields, classes.changes)
    title = f"Study: {folder.resolve().name}"
    save_page(folder, study_page(title, settings, rows, differences, classes))


def study_page(
    title: str,
    settings: dict[str, Any],
    rows: Sequence[Row],
    differences: Sequence[DifferenceRow],
    classes: ClassChanges = NO_CHANGES,
) -> str:
    """Return the page. Every name and text in it is escaped.

    Args:
        title: Title of the page.
        settings: The study's settings.
        rows: Rows of all runs.
        differences: All differences, see
            :func:`~fdkd_lightning.report.differences.difference_rows`.
        classes: The classes that gained and lost.
    """
    found = scores(settings, rows)
    axis = difference_axis(differences)
    missing = _missing(settings, rows)
    sentences, closing = comparisons(settings, rows) if len(settings["seeds"]) > 1 else ({}, "")
    costs = cost_figures(settings, rows)
    cautions = design_warnings(settings)
    values = {
        "title": title,
        "caption": caption(settings),
        "metric": settings["metric"],
        "baseline": settings["baseline"],
        "question": question_text(settings),
        "answers": answers(settings, rows) or _summaries(settings, found),
        "cautions": cautions,
        "tables": _tables(settings, rows, differences),
        "teachers": [
            {"modality": m, "regime": r, "mean": _sortable(x), "score": score_text(x)}
            for (m, r), x in teacher_scores(rows).items()
        ],
        "axis": axis,
        "differences": [
            {"regime": regime, "direction": direction, "strips": strips([*group], axis)}
            for (regime, direction), group in groupby(differences, lambda row: row[:2])
        ],
        "costs": costs,
        "class_tables": _class_tables(classes.changes),
        "class_intervals": sum(change.n > 1 for change in classes.changes),
        "class_check": classes.is_checked,
        "left_out": classes.left_out,
        "epoch": settings["epoch"],
        "comparisons": sentences,
        "comparison_count": sum(map(len, sentences.values())),
        "closing": closing,
        "warnings": [*settings["warnings"], *cautions],
        "failures": [" ".join(failure.split()) for failure in settings["failures"].values()],
        "missing": missing,
        "limits": _limits(
            len(settings["failures"]), len(missing), len(settings["warnings"]) + len(cautions)
        ),
        "searched": sum(not row.chosen for row in rows),
        "absent": [] if costs else ["seconds.csv, the time of each run"],
        "commit_text": _commit_text(settings["commits"]),
        "study": yaml_text({name: x for name, x in settings.items() if name not in PROVENANCE}),
        "configs": {name: yaml_text(content) for name, content in settings["configs"].items()},
        "versions": settings["versions"],
        "commits": settings["commits"],
    }
    return render("study.html", values)


def _summaries(
    settings: dict[str, Any], found: Mapping[Column, dict[str, list[float]]]
) -> dict[str, list[str]]:
    return {
        regime: [
            f"{direction}: {summary_text(settings, found[direction, regime])}"
            for direction in settings["directions"]
        ]
        for regime in settings["regimes"]
    }


def _tables(
    settings: dict[str, Any], rows: Sequence[Row], differences: Iterable[DifferenceRow]
) -> list[dict[str, Any]]:
    of_method: dict[tuple[str, ...], list[DifferenceRow]] = {}
    for row in differences:
        name = (row.direction, row.regime, row.method, row.role)
        of_method.setdefault(name, []).append(row)
    seconds = median_seconds(rows)
    tables = []
    for (direction, regime), column in scores(settings, rows).items():
        lines = []
        for number, (method, values) in enumerate(column.items(), 1):
            key = (direction, regime, method)
            lines.append(
                {
                    "number": number,
                    "method": method,
                    "mean": _sortable(values),
                    "score": score_text(values),
                    "differences": [
                        [_cell(difference) for difference in of_method.get((*key, role), [])]
                        for role in ("baseline", "control", "rival")
                    ],
                    "seconds": f"{seconds[key]:.1f}" if key in seconds else "",
                    "words": verdict_text(settings, column, method),
                }
            )
        tables.append({"direction": direction, "regime": regime, "lines": lines})
    return tables


def _class_tables(changes: Sequence[ClassChange]) -> list[dict[str, Any]]:
    """A table per direction and regime, with a line per method."""
    tables = []
    for (regime, direction), column in groupby(changes, lambda change: change[:2]):
        lines = []
        for method, group in groupby(column, lambda change: change.method):
            found = [*group]
            gained = sorted((x for x in found if x.sign > 0), key=lambda x: -x.mean)
            lost = sorted((x for x in found if x.sign < 0), key=lambda x: x.mean)
            lines.append(
                {
                    "method": method,
                    "n": max(change.n for change in found),
                    "sides": [
                        {
                            "count": len(side),
                            "items": [(x.label, _interval(x)) for x in side[:MOST_CLASSES]],
                        }
                        for side in (gained, lost)
                    ],
                    "neither": sum(x.n > 1 and not x.sign for x in found),
                    "unknown": sum(x.n < 2 for x in found),
                }
            )
        tables.append({"direction": direction, "regime": regime, "lines": lines})
    return tables


def _interval(row: ClassChange) -> str:
    return difference_text(Difference(row.mean / 100, row.low / 100, row.high / 100, row.n))


def _cell(row: DifferenceRow) -> dict[str, str]:
    difference = Difference(row.mean / 100, row.low / 100, row.high / 100, row.n)
    return {
        "other": row.other,
        "text": difference_text(difference),
        "sort": "" if math.isnan(row.mean) else f"{row.mean:.6f}",
    }


def _sortable(values: Sequence[float]) -> str:
    known = [value for value in values if not math.isnan(value)]
    return f"{100 * mean(known):.6f}" if known else ""


def _missing(settings: dict[str, Any], rows: Sequence[Row]) -> list[dict[str, str]]:
    there = {(row.method, row.direction, row.regime, row.seed) for row in rows if row.chosen}
    found = []
    for regime in settings["regimes"]:
        for direction in settings["directions"]:
            for method in settings["methods"]:
                names = {"method": method, "direction": direction, "regime": regime}
                lost = [s for s in settings["seeds"] if (*names.values(), s) not in there]
                if lost:
                    found.append(names | {"seeds": f"seeds {', '.join(map(str, lost))}"})
    return found


def _limits(failures: int, missing: int, warnings: int) -> str:
    counts = (
        (failures, "failed run", "failed runs"),
        (missing, "method with missing runs", "methods with missing runs"),
        (warnings, "warning", "warnings"),
    )
    return ", ".join(f"{n} {one if n == 1 else many}" for n, one, many in counts if n)


def _commit_text(commits: Sequence[str]) -> str:
    if not commits or "unknown" in commits:
        return "The commit of the package is not known."
    dirty = any(commit.endswith("-dirty") for commit in commits)
    changed = " The code had changes that are in no commit." if dirty else ""
    if len(commits) > 1:
        return f"The runs were made at {len(commits)} commits of the package, see below.{changed}"
    return f"The runs were made at commit {commits[0]} of the package.{changed}"
