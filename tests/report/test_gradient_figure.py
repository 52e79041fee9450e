import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fdkd_lightning.analysis.figure_rows import GradientRow
from fdkd_lightning.analysis.row_file import write_rows
from fdkd_lightning.report import gradient_figure


def test_dots_are_batches_and_lines_means(tmp_path: Path, kept: Callable[..., list[Any]]) -> None:
    figures = kept(gradient_figure)
    rows = [
        GradientRow("KD", "trained", 0, "task", 1.0, 0.25, 1.0),
        GradientRow("KD", "trained", 0, "kd", 3.0, 0.75, -0.5),
        GradientRow("KD", "trained", 1, "task", 0.0, 0.0, math.nan),
        GradientRow("KD", "trained", 1, "kd", 3.0, 1.0, math.nan),
        GradientRow("new", "untrained", 0, "task", 1.0, 0.5, 1.0),
        GradientRow("new", "untrained", 0, "kd", 1.0, 0.5, 0.5),
    ]
    write_rows(tmp_path / "gradients.csv", GradientRow, rows)
    gradient_figure.plot_gradients(tmp_path)
    cosine, share, below, _ = figures[0].axes
    dots, means = share.lines[2], share.lines[3]
    assert [*dots.get_xdata()] == [0.75, 1.0]
    assert [*dots.get_ydata()] == [1, 1]
    assert [*means.get_xdata()] == [0.875]
    # A batch without direction has no dot.
    assert [*cosine.lines[2].get_xdata()] == [-0.5]
    assert cosine.get_title() == "KD"
    assert below.get_title() == "new; criterion's own weights untrained"
