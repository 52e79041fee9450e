import math
from pathlib import Path

import pytest
from made_up_run import ACCURACY, LOSS, log_rows, write_log

from fdkd_lightning.report.run_log import (
    MOST_POINTS,
    Point,
    logged_once,
    not_finite,
    read_log,
    read_series,
    series_rows,
    thin_out,
)


def test_the_series_are_those_of_the_log(tmp_path: Path) -> None:
    write_log(tmp_path, 0, log_rows())
    series = read_series(tmp_path)
    assert series["train/loss"] == [Point(10 * k + 9, k, x) for k, x in enumerate(LOSS)]
    assert [point.value for point in series["val/accuracy"]] == ACCURACY
    assert logged_once(series) == {"teacher/visual/accuracy": 0.5}
    assert {name: point.step for name, point in not_finite(series).items()} == {"train/low": 29}


def test_a_resumed_run_goes_on_where_the_earlier_one_was_saved(tmp_path: Path) -> None:
    write_log(tmp_path, 2, log_rows())
    # Version 10 is later than version 2, and an evaluation has a log of its own.
    write_log(tmp_path, 10, [{"step": 29, "epoch": 2, "train/loss": 9.0}])
    write_log(tmp_path, 11, [{"step": 40, "epoch": 4, "test/loss": 5.0}])
    assert [point.value for point in read_series(tmp_path)["train/loss"]] == [*LOSS[:2], 9.0]
    assert read_series(tmp_path, resumed=False) == {"train/loss": [Point(29, 2, 9.0)]}


def test_the_torn_last_line_of_a_killed_run_is_left_out(tmp_path: Path) -> None:
    path = write_log(tmp_path, 0, [{"step": k, "train/loss": 1.5} for k in range(3)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])  # 2,1.5 is now 2,1
    assert [point.step for point in read_log(path)["train/loss"]] == [0, 1]


@pytest.mark.parametrize("line", ["1,x", "1", "one,2.0"])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = write_log(tmp_path, 0, [{"step": 0, "train/loss": 1.0}])
    path.write_text(f"{path.read_text()}{line}\n2,3.0\n")
    with pytest.raises(ValueError, match=r"metrics.csv, line 3 is damaged .*delete the line"):
        read_series(tmp_path)


def test_a_log_without_steps_is_named(tmp_path: Path) -> None:
    path = write_log(tmp_path, 0, [{"epoch": 0, "train/loss": 1.0}])
    with pytest.raises(ValueError, match="has no column step"):
        read_log(path)


def test_an_empty_folder_has_no_series(tmp_path: Path) -> None:
    assert read_series(tmp_path) == {}
    (tmp_path / "logs/version_0").mkdir(parents=True)
    (tmp_path / "logs/version_0/metrics.csv").touch()
    assert read_series(tmp_path) == {}


def test_long_series_become_means_of_stretches(tmp_path: Path) -> None:
    points = [Point(k, None, float(k)) for k in range(10 * MOST_POINTS - 5)]
    thin = thin_out(points)
    assert len(thin) == MOST_POINTS
    assert thin[0] == Point(9, None, 4.5)
    assert thin[-1].step == points[-1].step
    points[13] = Point(13, None, math.inf)
    thin = thin_out(points)
    assert math.isnan(thin[1].value)
    assert thin[2].value == 24.5
    assert thin_out(points[:3]) == points[:3]
    assert thin_out([]) == []


def test_the_points_are_rows() -> None:
    found = series_rows({"x": [Point(1, None, 0.5), Point(2, 3, 0.25)]})
    assert found == [("x", 1, None, 0.5), ("x", 2, 3, 0.25)]
