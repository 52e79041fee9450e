"""Figure of the terms' gradients: cosine with the task loss's, and share of the norm."""

import math
from pathlib import Path
from statistics import mean

from fdkd_lightning.analysis.figure_rows import GradientRow
from fdkd_lightning.analysis.row_file import read_rows
from fdkd_lightning.report.figure_files import new_figure, plain, save_figure

PANELS = {
    "cosine": ("cosine with the task loss's gradient", (-1.05, 1.05)),
    "share": ("share of the gradients' norms", (-0.02, 1.02)),
}


def plot_gradients(folder: Path) -> list[Path]:
    """Draw ``gradients.csv``: a dot per batch, a line at the mean; return the figure's files."""
    rows = read_rows(folder / "gradients.csv", GradientRow)
    students = list(dict.fromkeys(row.student for row in rows))
    terms = list(dict.fromkeys(row.term for row in rows))
    height = 0.5 + len(students) * (0.9 + 0.32 * len(terms))
    figure = new_figure(9, height, "gradients")
    panels = figure.subplots(len(students), 2, squeeze=False, sharey=True, sharex="col")
    for line, student in zip(panels, students, strict=True):
        chosen = [row for row in rows if row.student == student]
        is_untrained = any(row.criterion == "untrained" for row in chosen)
        for panel, (kind, (_, limits)) in zip(line, PANELS.items(), strict=True):
            for position, term in enumerate(terms):
                values = [getattr(row, kind) for row in chosen if row.term == term]
                known = [value for value in values if not math.isnan(value)]
                panel.plot(known, [position] * len(known), "o", color="C0", alpha=0.4, markersize=5)
                if known:
                    panel.plot([mean(known)], [position], "|", color="k", markersize=16, mew=2)
            panel.set_yticks(range(len(terms)), terms, fontsize=9)
            panel.set_xlim(*limits)
            panel.grid(axis="x", alpha=0.3)
            panel.set_title(
                plain(student) + ("; criterion's own weights untrained" if is_untrained else ""),
                fontsize=9,
            )
        line[0].axvline(0, color="0.4", linewidth=0.8, linestyle="--")
        line[0].set_ylim(len(terms) - 0.5, -0.5)
    batches = len({row.batch for row in rows})
    for panel, (title, _) in zip(panels[-1], PANELS.values(), strict=True):
        panel.set_xlabel(f"{title}\ndots: {batches} batches; line: mean", fontsize=9)
    return save_figure(figure, folder, "gradients")
