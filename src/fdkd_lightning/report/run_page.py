"""A run's report as an HTML page, and the CSV files of its figures."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fdkd_lightning.analysis.calibration import Bin, calibration_bins, calibration_error
from fdkd_lightning.analysis.confusion import Confusion, confused_pairs, confusion_matrix
from fdkd_lightning.report.class_scores import MOST_CLASSES, ClassRow, class_rows, confusions
from fdkd_lightning.report.csv_table import write_table
from fdkd_lightning.report.curve_figure import curve_figure
from fdkd_lightning.report.render import render, save_page, yaml_text
from fdkd_lightning.report.run_files import RunFiles, read_run_files
from fdkd_lightning.report.run_log import Point, logged_once, series_rows, thin_out
from fdkd_lightning.report.run_text import (
    agreement_sentence,
    calibration_sentence,
    class_sentences,
    divergence_sentences,
    run_sentences,
    setting_text,
)

MOST_CONFUSIONS = 20
DATA = "report"
"""Folder beside the page, with the values of its figures."""
TABLES = ("curves.csv", "classes.csv", "confusion.csv", "calibration.csv")


def write_run_page(folder: Path) -> tuple[Path, list[str]]:
    """Write ``report.html`` into a run's folder, and the values of its figures into ``report/``.

    Returns:
        The page's path, and the sentences of its answer.

    Raises:
        ValueError: If a file is damaged; the message names it.
    """
    facts = read_run_files(folder)
    data = folder / DATA
    data.mkdir(exist_ok=True)
    for name in TABLES:
        # What an earlier page showed may no longer be there.
        (data / name).unlink(missing_ok=True)
    values = _page_values(facts, data)
    return save_page(folder, render("run.html", values)), values["answer"]


def _page_values(facts: RunFiles, data: Path) -> dict[str, Any]:
    once = logged_once(facts.series)
    drawn = {name: thin_out(x) for name, x in facts.series.items() if name not in once}
    if drawn:
        write_table(data / "curves.csv", ["name", *Point._fields], series_rows(drawn))
    fit = facts.fit or {}
    return {
        "title": f"Run: {facts.folder.resolve().name}",
        "caption": setting_text(facts.config),
        "answer": run_sentences(facts),
        "once": once,
        "curves": curve_figure(drawn, facts.chosen_step) if drawn else None,
        "best": facts.checkpoints.get("best"),
        "diverged": divergence_sentences(facts),
        "classes": _classes(facts, data),
        "missing": [*_missing(facts)],
        "coverage": _coverage(fit.get("coverage")),
        "command": facts.command("fit"),
        "config": None if facts.config is None else yaml_text(dict(facts.config)),
        "fit": fit,
    }


def _coverage(coverage: Any) -> list[tuple[str, str, str]]:
    """Rows of split, status and samples; a data module of one's own may state something else."""
    if not coverage:
        return []
    if not isinstance(coverage, Mapping):
        return [("", "", str(coverage))]
    rows = []
    for split, counts in coverage.items():
        statuses = counts if isinstance(counts, Mapping) else {"": counts}
        rows += [(str(split), str(status), str(count)) for status, count in statuses.items()]
    return rows


def _classes(facts: RunFiles, data: Path) -> dict[str, Any] | None:
    predictions = facts.predictions
    if isinstance(predictions, str):
        return None
    matrix = confusion_matrix(predictions.predicted, predictions.label, len(predictions.names))
    rows, mistaken = class_rows(predictions.names, matrix), confusions(predictions.names, matrix)
    bins = calibration_bins(predictions.probabilities, predictions.label)
    error = calibration_error(predictions.probabilities, predictions.label)
    pairs = confused_pairs(predictions.names, matrix)
    write_table(data / "classes.csv", ClassRow._fields, rows)
    write_table(data / "confusion.csv", Confusion._fields, pairs)
    write_table(data / "calibration.csv", Bin._fields, bins)
    return {
        "sentences": [
            *class_sentences(predictions, rows, mistaken),
            agreement_sentence(facts, predictions),
        ],
        "rows": [_class_cells(row) for row in rows],
        "names": predictions.names,
        "has_names": predictions.has_names,
        "matrix": _shaded(matrix) if len(rows) <= MOST_CLASSES else None,
        "confusions": mistaken[:MOST_CONFUSIONS],
        "confused": len(mistaken),
        "bins": bins,
        "calibration": calibration_sentence(predictions, error),
    }


def _class_cells(row: ClassRow) -> dict[str, Any]:
    known = not math.isnan(row.accuracy)
    text = f"{row.accuracy:.1f} [{row.low:.1f}, {row.high:.1f}]" if known else "no sample"
    sort = f"{row.accuracy:.6f}" if known else ""
    return {"row": row, "accuracy": text, "sort": sort}


def _shaded(matrix: Tensor) -> list[list[tuple[int, int]]]:
    """Each count with its shade from 0 to 9, its share of the row."""
    shares = matrix / matrix.sum(1, keepdim=True).clamp(min=1)
    shades = (9 * shares).ceil().int().tolist()
    rows = zip(matrix.tolist(), shades, strict=True)
    return [[*zip(counts, shade, strict=True)] for counts, shade in rows]


def _missing(facts: RunFiles) -> Iterator[tuple[str, str | None]]:
    """Yield what the page lacks, and the command that makes it."""
    if facts.fit is None:
        yield "run.json: versions, commit, data coverage, chosen epoch", facts.command("fit")
    elif facts.fit["finished"] is None:
        yield "the end of the training", facts.command("fit") + " --ckpt_path=last"
    if not facts.series:
        yield (
            "learning curves: no metrics.csv of a training below logs/ (trainer.logger=false "
            "leaves it out)",
            None,
        )
    elif not any(name.startswith("val") for name in facts.series):
        yield "validation: the log has no value of it", None
    if not any(entry["split"] == "test" for entry in facts.evaluations):
        yield "test scores", facts.command("test")
    if isinstance(facts.predictions, str):
        yield (
            f"confusion of classes and calibration: {facts.predictions}",
            facts.command("predict"),
        )
    elif not facts.predictions.has_names:
        yield "names of the classes: give the data module class_names, and predict again", None
