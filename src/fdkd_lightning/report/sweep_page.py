"""A sweep's report as an HTML page."""

from collections.abc import Iterator, Sequence
from typing import Any

from fdkd_lightning.report.render import render, yaml_text
from fdkd_lightning.report.sweep_heat_map import HeatMap, axis_label
from fdkd_lightning.report.sweep_text import short_names, sweep_sentences, trial_cells
from fdkd_lightning.study.sweep.sweep_results import SweepResults, Trial, overlay

SHADES = 9


def sweep_page(results: SweepResults, maps: Sequence[HeatMap]) -> str:
    """Return the page. Every name and text in it is escaped.

    Args:
        results: The sweep's results.
        maps: Its heat maps, see :func:`~fdkd_lightning.report.sweep_heat_map.heat_maps`.
    """
    names = list(next((t.parameters for t in results.trials if t.parameters), {}))
    short = short_names(names)
    values = {
        "title": f"Sweep: {results.name}",
        "caption": f"Search by {results.method} over {', '.join(names) or 'no parameter'}; "
        f"metric {results.metric}.",
        "answer": sweep_sentences(results),
        "metric": results.metric,
        "names": short,
        "trials": [_cells(trial, names) for trial in results.trials],
        "importance": results.importance,
        "maps": [_drawn(each, maps) for each in maps],
        "failures": [f"{trial.run}: {trial.error}" for trial in results.trials if trial.error],
        "best": yaml_text(overlay(results.finished[0].parameters)) if results.finished else None,
        "missing": [*_missing(results, maps)],
    }
    return render("sweep.html", values)


def _cells(trial: Trial, names: list[str]) -> list[tuple[str, str | None]]:
    """The text of each cell, and what it sorts by if that is something else."""
    texts = trial_cells(trial, names)
    exact = {2: trial.last, 3: trial.best}
    return [
        (text, None if exact.get(number) is None else repr(exact[number]))
        for number, text in enumerate(texts)
    ]


def _drawn(each: HeatMap, maps: Sequence[HeatMap]) -> dict[str, Any]:
    """A map's cells with shades from 0 (least) to 9 (most), on one scale for all maps."""
    means = [value for one in maps for value, _ in one.cells.values()]
    low, width = min(means), (max(means) - min(means)) or 1.0
    xs, ys = each.values(0), each.values(1)
    rows = []
    for y in ys:
        cells: list[dict[str, Any] | None] = []
        for x in xs:
            if (x, y) not in each.cells:
                cells.append(None)
                continue
            value, count = each.cells[x, y]
            shade = round(SHADES * (value - low) / width)
            cells.append({"text": f"{value:.4f}", "shade": shade, "trials": count})
        rows.append((axis_label(y), cells))
    return {"x": each.x, "y": each.y, "columns": [axis_label(x) for x in xs], "rows": rows}


def _missing(results: SweepResults, maps: Sequence[HeatMap]) -> Iterator[str]:
    if not results.importance:
        yield (
            "importance of the parameters: it takes 4 finished trials whose values differ, and "
            "parameters that vary"
        )
    if not maps:
        yield "heat map: it takes finished trials in which two parameters vary"
    yield "test scores: a sweep sees validation data alone; fdkd study judges on test data"
    yield (
        "versions and configuration of each trial: in run.json of its folder, which the sweep's "
        "command names (trainer.default_root_dir)"
    )
