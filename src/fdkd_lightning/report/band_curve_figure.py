"""Figure of band similarities over the threshold, and of every frequency."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fdkd_lightning.analysis.band_curves import PERMUTED, WITH_DC, WITHOUT_DC
from fdkd_lightning.analysis.figure_rows import BandRow
from fdkd_lightning.analysis.row_file import read_rows
from fdkd_lightning.report.figure_files import new_figure, plain, save_figure

PANELS = {
    "low": ("low band", "threshold"),
    "high": ("high band", "threshold"),
    "frequency": ("single frequencies", "frequency, of the highest"),
}
LINES = {
    WITHOUT_DC: {"color": "C0", "linestyle": "-"},
    WITH_DC: {"color": "C1", "linestyle": "--"},
    PERMUTED: {"color": "0.4", "linestyle": ":"},
}


def plot_band_curves(folder: Path) -> list[Path]:
    """Draw ``bands.csv``: a row per teacher and student; return the figure's files."""
    rows = read_rows(folder / "bands.csv", BandRow)
    pairs = list(dict.fromkeys((row.teacher, row.student) for row in rows))
    figure = new_figure(11, 0.6 + 2.4 * len(pairs), "bands")
    panels = figure.subplots(len(pairs), len(PANELS), squeeze=False, sharey=True)
    for line, (teacher, student) in zip(panels, pairs, strict=True):
        chosen = [row for row in rows if (row.teacher, row.student) == (teacher, student)]
        for panel, (band, (title, below)) in zip(line, PANELS.items(), strict=True):
            _draw(panel, [row for row in chosen if row.band == band])
            panel.set_title(f"{plain(student)}: {title}", fontsize=10)
            panel.set_xlabel(below, fontsize=9)
        line[0].set_ylabel(f"{teacher} teacher\ncosine of pairs, 95 %", fontsize=9)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=9)
    return save_figure(figure, folder, "bands")


def _draw(panel: Any, rows: Sequence[BandRow]) -> None:
    panel.axhline(0, color="0.7", linewidth=0.8)
    for variant, style in LINES.items():
        chosen = [row for row in rows if row.variant == variant]
        if not chosen:
            continue
        x, y = [row.position for row in chosen], [row.cosine for row in chosen]
        low, high = [row.low for row in chosen], [row.high for row in chosen]
        if len(chosen) == 1:
            # The mean is one frequency, and has no curve.
            errors = [[y[0] - low[0]], [high[0] - y[0]]]
            panel.errorbar(x, y, errors, fmt="D", color=style["color"], markersize=4, capsize=3)
            panel.annotate("DC", (x[0], y[0]), (6, -3), textcoords="offset points", fontsize=8)
            continue
        panel.plot(x, y, label=variant, **style)
        panel.fill_between(x, low, high, color=style["color"], alpha=0.2, linewidth=0)
