"""Figure of a benchmark: a panel per case with its ratios, or the parts of a run's step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fdkd_lightning.benchmark.result_files import Results
from fdkd_lightning.benchmark.row import Row
from fdkd_lightning.benchmark.run.measure_run import CACHED, CONFIGURED
from fdkd_lightning.report.benchmark_text import parts_of
from fdkd_lightning.report.figure_files import new_figure, save_figure

WIDE = 30
"""Ratios that differ by more are drawn on a logarithmic axis."""


def plot_benchmark(folder: Path, results: Results) -> list[Path]:
    """Draw ``figure.png`` and ``figure.svg``; return the files.

    Args:
        folder: Where to write.
        results: The results.

    Raises:
        ImportError: If matplotlib is not installed: the extra ``plots``.
    """
    cases = list(dict.fromkeys(row.case for row in results.rows))
    panels = {case: [row for row in results.rows if row.case == case] for case in cases}
    heights = [_height(rows) for rows in panels.values()]
    figure = new_figure(9, 0.6 + sum(heights), "figure")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (case, rows) in zip(axes, panels.items(), strict=True):
        axis.set_title(case, fontsize=10)
        if case == "run":
            _draw_parts(axis, rows)
        elif case == "curves":
            _draw_curves(axis, rows)
        else:
            _draw_ratios(axis, compared(rows))
    return save_figure(figure, folder, "figure")


def compared(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with a ratio."""
    return [row for row in rows if row.ratio is not None]


def _height(rows: Sequence[Row]) -> float:
    if rows[0].case in ("run", "curves"):
        return 3.0
    return 0.8 + 0.22 * len(compared(rows))


def _draw_ratios(axis: Any, rows: Sequence[Row]) -> None:
    labels = [f"{row.variant} ({row.size})" for row in rows]
    ratios = [row.ratio or 0.0 for row in rows]
    drawn = axis.barh(range(len(rows)), ratios, color="C0")
    axis.bar_label(drawn, [f" {ratio:.3g}" for ratio in ratios], fontsize=8)
    axis.set_yticks(range(len(rows)), labels, fontsize=8)
    if max(ratios) > WIDE * min(ratios):
        axis.set_xscale("log")
    axis.invert_yaxis()
    axis.axvline(1, color="0.4", linewidth=0.8, linestyle="--")
    axis.margins(x=0.1)
    others = dict.fromkeys(row.compared_with for row in rows)
    axis.set_xlabel(f"relative to: {', '.join(others)}"[:120], fontsize=8)


def _draw_curves(axis: Any, rows: Sequence[Row]) -> None:
    for k, size in enumerate(dict.fromkeys(row.size for row in rows)):
        chosen = [row for row in rows if row.size == size]
        times = [1000 * row.median for row in chosen]
        axis.plot(range(len(chosen)), times, marker="osv^D"[k % 5], label=size)
        for x, row in enumerate(chosen):
            place = {"xytext": (3, (3, -8)[k % 2]), "textcoords": "offset points"}
            axis.annotate(row.variant, (x, times[x]), fontsize=6, **place)
    axis.set_yscale("log")
    axis.set_ylabel("ms", fontsize=8)
    axis.set_xticks([])
    axis.legend(fontsize=8)


def _draw_parts(axis: Any, rows: Sequence[Row]) -> None:
    variants = [v for v in (CONFIGURED, CACHED) if parts_of(rows, v)]
    names = list(dict.fromkeys(name for v in variants for name in parts_of(rows, v)))
    totals = [[1000 * row.median for row in parts_of(rows, v).values()] for v in variants]
    longest = max(map(sum, totals))
    ends = [0.0] * len(variants)
    for k, name in enumerate(names):
        found = [parts_of(rows, v).get(name) for v in variants]
        widths = [0.0 if row is None else 1000 * row.median for row in found]
        drawn = axis.barh(variants, widths, left=ends, label=name, color=f"C{k}", edgecolor="w")
        # Readable without colour.
        names_within = [name if width > 0.12 * longest else "" for width in widths]
        axis.bar_label(drawn, names_within, label_type="center", fontsize=7)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    axis.invert_yaxis()
    axis.set_xlabel("ms per step", fontsize=8)
    axis.legend(fontsize=7, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.25))
