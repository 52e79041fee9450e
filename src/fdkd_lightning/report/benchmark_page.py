"""A benchmark's report as an HTML page."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fdkd_lightning.benchmark.result_files import Results
from fdkd_lightning.benchmark.row import Row
from fdkd_lightning.report.benchmark_table import COLUMNS, EXPLANATION, origin, row_cells
from fdkd_lightning.report.render import render


def benchmark_page(results: Results, sentences: Sequence[str], figure: Path) -> str:
    """Return the page. Every name and text in it is escaped.

    Args:
        results: The results.
        sentences: What a run's numbers say; empty for the package.
        figure: The figure ``figure.svg``, which the page then holds.
    """
    about = results.about
    questions = about.get("questions", {})
    cases = {
        case: {
            "question": questions.get(case, ""),
            "rows": [_cells(row) for row in results.rows if row.case == case],
        }
        for case in dict.fromkeys(row.case for row in results.rows)
    }
    values = {
        "title": "Benchmark",
        "caption": origin(results),
        "answer": sentences,
        "explanation": EXPLANATION,
        "columns": COLUMNS,
        "cases": cases,
        "figure": base64.b64encode(figure.read_bytes()).decode(),
        "missing": about.get("skipped", {}),
        "command": about["command"],
    }
    return render("benchmark.html", values)


def _cells(row: Row) -> list[tuple[str, Any]]:
    """The text of each cell, and what it sorts by if that is something else."""
    exact = {"median": repr(row.median), "quartiles": repr(row.quartile_1)}
    if row.ratio is not None:
        exact["ratio"] = repr(row.ratio)
    return [(text, exact.get(name)) for name, text in zip(COLUMNS, row_cells(row), strict=True)]
