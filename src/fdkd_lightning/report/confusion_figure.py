"""Figure of confusion matrices: a panel per student."""

from pathlib import Path

from fdkd_lightning.analysis.figure_rows import ConfusionRow
from fdkd_lightning.analysis.row_file import read_rows
from fdkd_lightning.report.figure_files import new_figure, plain, save_figure

MOST_NUMBERS = 12
"""Cells of more classes are too small for their count."""
MOST_NAMES = 40
"""More names would overlap: those of every second class, third class, ... are shown."""


def plot_confusion(folder: Path) -> list[Path]:
    """Draw ``confusion.csv``, shaded by the share of the true class; return the figure's files."""
    rows = read_rows(folder / "confusion.csv", ConfusionRow)
    students = list(dict.fromkeys(row.student for row in rows))
    # A class's row comes first in the data's order; classes without samples are last.
    labels = [row.label for row in rows]
    names = list(dict.fromkeys([*labels, *(row.predicted for row in rows)]))
    size = 1.6 + 0.28 * min(len(names), 16)
    figure = new_figure(1.2 + size * len(students), 0.4 + size, "confusion")
    panels = figure.subplots(1, len(students), squeeze=False)[0]
    step = -(-len(names) // MOST_NAMES)
    for panel, student in zip(panels, students, strict=True):
        counts = [[0] * len(names) for _ in names]
        for row in rows:
            if row.student == student:
                counts[names.index(row.label)][names.index(row.predicted)] = row.samples
        shares = [[count / max(1, sum(line)) for count in line] for line in counts]
        image = panel.imshow(shares, vmin=0, vmax=1, cmap="Greys")
        if len(names) <= MOST_NUMBERS:
            for i, line in enumerate(counts):
                for j, count in enumerate(line):
                    color = "white" if shares[i][j] > 0.5 else "black"
                    if count:
                        panel.text(j, i, count, ha="center", va="center", color=color, fontsize=7)
        small = 8 if len(names) <= MOST_NUMBERS else 6
        places, shown = range(0, len(names), step), [plain(name) for name in names[::step]]
        panel.set_xticks(places, shown, rotation=90, fontsize=small)
        panel.set_yticks(places, shown, fontsize=small)
        total = sum(map(sum, counts))
        right = sum(counts[i][i] for i in range(len(names)))
        panel.set_title(f"{plain(student)}: {right} of {total} right", fontsize=9)
        panel.set_xlabel("predicted", fontsize=9)
    panels[0].set_ylabel("true class, validation split", fontsize=9)
    figure.colorbar(image, ax=panels, label="share of the true class", shrink=0.8)
    return save_figure(figure, folder, "confusion")
