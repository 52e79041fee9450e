"""Heat map of linear CKA: the student's layers against the teacher's."""

import math
from pathlib import Path

from fdkd_lightning.analysis.figure_rows import LayerRow
from fdkd_lightning.analysis.row_file import read_rows
from fdkd_lightning.report.figure_files import new_figure, plain, save_figure

MOST_NUMBERS = 12
"""Cells of more layers are too small for their value."""


def plot_layers(folder: Path) -> list[Path]:
    """Draw ``layers.csv``: a row per teacher, a column per student; return the figure's files."""
    rows = read_rows(folder / "layers.csv", LayerRow)
    teachers = list(dict.fromkeys(row.teacher for row in rows))
    students = list(dict.fromkeys(row.student for row in rows))
    most = max(
        len({getattr(row, side) for row in rows}) for side in ("teacher_layer", "student_layer")
    )
    size = min(1.4 + 0.42 * most, 7)
    figure = new_figure(1.6 + size * len(students), 0.9 + size * len(teachers), "layers")
    panels = figure.subplots(len(teachers), len(students), squeeze=False)
    for line, teacher in zip(panels, teachers, strict=True):
        for panel, student in zip(line, students, strict=True):
            chosen = [row for row in rows if (row.teacher, row.student) == (teacher, student)]
            across = list(dict.fromkeys(row.teacher_layer for row in chosen))
            down = list(dict.fromkeys(row.student_layer for row in chosen))
            values = {(row.student_layer, row.teacher_layer): row.cka for row in chosen}
            grid = [[values[a, b] for b in across] for a in down]
            image = panel.imshow(grid, vmin=0, vmax=1, cmap="viridis", origin="lower")
            if max(len(across), len(down)) <= MOST_NUMBERS:
                for i, cells in enumerate(grid):
                    for j, value in enumerate(cells):
                        # Light on dark: the colours grow lighter with the value.
                        color = "black" if value > 0.6 or math.isnan(value) else "white"
                        text = "?" if math.isnan(value) else f"{value:.2f}"
                        panel.text(j, i, text, ha="center", va="center", color=color, fontsize=7)
            panel.set_xticks(range(len(across)), across, rotation=90, fontsize=7)
            panel.set_yticks(range(len(down)), down, fontsize=7)
            shuffled = [row.shuffled for row in chosen if not math.isnan(row.shuffled)]
            at_most = f"\nshuffled: at most {max(shuffled):.2f}" if shuffled else ""
            panel.set_title(f"{plain(student)}{at_most}", fontsize=9)
            panel.set_xlabel(f"{teacher} teacher", fontsize=9)
        line[0].set_ylabel("student", fontsize=9)
    figure.colorbar(image, ax=panels, label="linear CKA", shrink=0.8)
    return save_figure(figure, folder, "layers")
