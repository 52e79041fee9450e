"""Figure of a learned cut-off's path: the threshold over the epochs of each student's training."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from fdkd_lightning.analysis.row_file import read_rows, write_rows
from fdkd_lightning.report.figure_files import MARKERS, STYLES, new_figure, plain, save_figure
from fdkd_lightning.report.run_log import read_series


class CutoffPoint(NamedTuple):
    """The threshold after an epoch.

    Args:
        student: Label of the student.
        name: Name of the logged value, such as ``train/threshold``.
        step: Optimizer steps, as the log counts.
        epoch: The epoch, counted from 0.
        threshold: Mean cut-off frequency over the epoch, of the non-zero frequencies.
    """

    student: str
    name: str
    step: int
    epoch: int
    threshold: float


def read_cutoffs(students: Mapping[str, str | None]) -> list[CutoffPoint]:
    """Read the thresholds that the students' runs have logged, ``train/threshold``.

    Args:
        students: Label -> checkpoint, in the folder ``checkpoints`` of its run; None: no run.

    Raises:
        ValueError: If a log is damaged.
    """
    return [
        CutoffPoint(student, name, point.step, point.epoch or 0, point.value)
        for student, checkpoint in students.items()
        if checkpoint is not None
        for name, points in read_series(Path(checkpoint).parent.parent).items()
        if re.fullmatch(r"train[/_](.+/)?threshold", name)
        for point in points
    ]


def plot_cutoffs(folder: Path, points: list[CutoffPoint]) -> list[Path]:
    """Write ``cutoff.csv`` and draw it; return the figure's files."""
    write_rows(folder / "cutoff.csv", CutoffPoint, points)
    points = read_rows(folder / "cutoff.csv", CutoffPoint)
    figure = new_figure(6, 3.4, "cutoff")
    panel = figure.subplots()
    lines = list(dict.fromkeys((point.student, point.name) for point in points))
    several = len({name for _, name in lines}) > 1
    for k, (student, name) in enumerate(lines):
        chosen = [point for point in points if (point.student, point.name) == (student, name)]
        panel.plot(
            [point.epoch for point in chosen],
            [point.threshold for point in chosen],
            STYLES[k % len(STYLES)],
            color=f"C{k}",
            marker=MARKERS[k % len(MARKERS)],
            markersize=4,
            label=plain(f"{student}, {name}" if several else student),
        )
    panel.set_xlabel("epoch, counted from 0", fontsize=9)
    panel.set_ylabel("learned cut-off frequency,\nof the non-zero frequencies", fontsize=9)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    return save_figure(figure, folder, "cutoff")
