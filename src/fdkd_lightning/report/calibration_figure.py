"""Reliability diagrams: a panel per student."""

from collections.abc import Sequence
from pathlib import Path

from fdkd_lightning.analysis.figure_rows import CalibrationRow
from fdkd_lightning.analysis.row_file import read_rows
from fdkd_lightning.report.figure_files import new_figure, plain, save_figure

SMALLEST, LARGEST = 8, 400
"""Area of the dot of a bin in square points: of an empty one, and what all predictions add."""


def plot_calibration(folder: Path) -> list[Path]:
    """Draw ``calibration.csv``: a dot per bin, as large as its share; return the files."""
    rows = read_rows(folder / "calibration.csv", CalibrationRow)
    students = list(dict.fromkeys(row.student for row in rows))
    figure = new_figure(0.7 + 2.8 * len(students), 3.8, "calibration")
    panels = figure.subplots(1, len(students), squeeze=False, sharey=True)[0]
    for panel, student in zip(panels, students, strict=True):
        chosen = [row for row in rows if row.student == student]
        panel.plot([0, 1], [0, 1], "--", color="0.5", linewidth=0.8)
        x, y = [row.confidence for row in chosen], [row.accuracy for row in chosen]
        panel.plot(x, y, color="C0", linewidth=1)
        panel.scatter(
            x,
            y,
            [SMALLEST + LARGEST * row.share for row in chosen],
            color="C0",
            edgecolors="k",
            linewidths=0.5,
        )
        panel.set_xlim(-0.05, 1.05)
        panel.set_ylim(-0.05, 1.05)
        panel.set_box_aspect(1)
        error = 100 * expected_error(chosen)
        panel.set_title(f"{plain(student)}\ncalibration error {error:.1f} %", fontsize=9)
        panel.set_xlabel("confidence\n(area: share of predictions)", fontsize=9)
    panels[0].set_ylabel("accuracy, validation split", fontsize=9)
    return save_figure(figure, folder, "calibration")


def expected_error(rows: Sequence[CalibrationRow]) -> float:
    """Return the expected calibration error of the bins.

    Example:
        >>> expected_error([CalibrationRow("w/o KD", 0.6, 0.7, 4, 0.65, 0.75, 1.0)])
        0.1
    """
    return round(sum(row.share * abs(row.accuracy - row.confidence) for row in rows), 9)
