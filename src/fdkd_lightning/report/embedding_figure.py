"""Figure of embedded features: a column per student, once by modality and once by class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fdkd_lightning.analysis.figure_rows import EmbeddedPoint
from fdkd_lightning.analysis.row_file import read_rows
from fdkd_lightning.report.figure_files import new_figure, plain, save_figure

TITLES = {"tsne": "t-SNE", "umap": "UMAP"}
MOST_LETTERS = 10
"""Of more classes the points of the second row are dots, without a legend."""


def plot_embedding(folder: Path, name: str) -> list[Path]:
    """Draw ``tsne.csv`` or ``umap.csv``; return the figure's files.

    Args:
        folder: Folder of the analysis.
        name: ``tsne`` or ``umap``.
    """
    points = read_rows(folder / f"{name}.csv", EmbeddedPoint)
    teachers = list(dict.fromkeys(point.teacher for point in points))
    students = list(dict.fromkeys(point.student for point in points))
    classes = sorted({point.label for point in points})
    figure = new_figure(1.2 + 3.2 * len(students), 0.5 + 6 * len(teachers), name)
    panels = figure.subplots(2 * len(teachers), len(students), squeeze=False)
    for row, teacher in enumerate(teachers):
        for column, student in enumerate(students):
            chosen = [p for p in points if (p.teacher, p.student) == (teacher, student)]
            upper, lower = panels[2 * row : 2 * row + 2, column]
            _by_role(upper, chosen)
            _by_class(lower, chosen, classes)
            upper.set_title(plain(student), fontsize=10)
            for panel in (upper, lower):
                panel.set_xticks([])
                panel.set_yticks([])
        upper, lower = panels[2 * row : 2 * row + 2, 0]
        modality = points[0].modality
        upper.set_ylabel(f"{TITLES[name]}: {teacher} teacher,\n{modality} student", fontsize=9)
        lower.set_ylabel("the same points by class", fontsize=9)
        panels[2 * row, -1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        if len(classes) <= MOST_LETTERS:
            panels[2 * row + 1, -1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return save_figure(figure, folder, name)


def _by_role(panel: Any, points: Sequence[EmbeddedPoint]) -> None:
    # Dark rings and light discs: different in print, too, and where they lie on each other.
    for role, style in (
        ("teacher", {"facecolors": "C1", "edgecolors": "none", "alpha": 0.7}),
        ("student", {"facecolors": "none", "edgecolors": "C0", "linewidths": 0.9}),
    ):
        chosen = [point for point in points if point.role == role]
        panel.scatter([p.x for p in chosen], [p.y for p in chosen], 16, label=role, **style)


def _by_class(panel: Any, points: Sequence[EmbeddedPoint], classes: Sequence[str]) -> None:
    for number, label in enumerate(classes):
        chosen = [point for point in points if point.label == label]
        lettered = len(classes) <= MOST_LETTERS
        panel.scatter(
            [p.x for p in chosen],
            [p.y for p in chosen],
            30 if lettered else 8,
            color=f"C{number % 10}",
            # A letter is read without colour.
            marker=f"${chr(ord('A') + number)}$" if lettered else "o",
            linewidths=0.3 if lettered else 0,
            label=plain(label),
        )
