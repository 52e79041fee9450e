from collections.abc import Callable
from pathlib import Path
from typing import Any

from fdkd_lightning.analysis.row_file import read_rows
from fdkd_lightning.report import cutoff_figure
from fdkd_lightning.report.cutoff_figure import CutoffPoint, read_cutoffs

LOG = """epoch,step,train/{name},val/loss
0,9,0.5,
0,9,,2.0
1,19,0.4375,
1,19,,1.0
"""


def run(folder: Path, name: str = "threshold") -> str:
    log = folder / "logs/version_0/metrics.csv"
    log.parent.mkdir(parents=True)
    log.write_text(LOG.format(name=name))
    return str(folder / "checkpoints/best.ckpt")


def test_the_path_is_that_of_the_log(tmp_path: Path, kept: Callable[..., list[Any]]) -> None:
    figures = kept(cutoff_figure)
    students = {
        "w/o KD": run(tmp_path / "alone", name="loss"),
        "learned": run(tmp_path / "learned"),
        "as configured": None,
        "of a mixture": run(tmp_path / "mixture", name="fdkd/threshold"),
        "nowhere": str(tmp_path / "nowhere/checkpoints/best.ckpt"),
    }
    points = read_cutoffs(students)
    assert points == [
        CutoffPoint("learned", "train/threshold", 9, 0, 0.5),
        CutoffPoint("learned", "train/threshold", 19, 1, 0.4375),
        CutoffPoint("of a mixture", "train/fdkd/threshold", 9, 0, 0.5),
        CutoffPoint("of a mixture", "train/fdkd/threshold", 19, 1, 0.4375),
    ]
    cutoff_figure.plot_cutoffs(tmp_path, points)
    assert read_rows(tmp_path / "cutoff.csv", CutoffPoint) == points
    first, second = figures[0].axes[0].lines
    assert [*first.get_xdata()] == [0, 1]
    assert [*first.get_ydata()] == [0.5, 0.4375]
    assert first.get_linestyle() != second.get_linestyle()
    assert first.get_marker() != second.get_marker()
