import csv
from pathlib import Path
from typing import Any

from fdkd_lightning.report.analysis_figure import Bar, bars_of, plot_analysis


def test_each_value_has_a_bar(analysis_row: dict[str, Any]) -> None:
    bars = bars_of(analysis_row)
    assert len(bars) == 9 + 9 + 4
    assert [bar.value for bar in bars[:3]] == [0.241, -0.004, 0.14]
    assert bars[3:5] == [
        Bar("audio", "agreement", "R² of student,\nnew groups", "pairs", 0.08),
        Bar("audio", "agreement", "R² of student,\nnew groups", "shuffled within classes", 0.005),
    ]
    assert Bar("audio", "bands", "low", "channels permuted", 0.25) in bars
    assert Bar("audio", "accuracy", "teacher", "", 0.8) in bars


def test_what_is_not_known_has_none(analysis_row: dict[str, Any]) -> None:
    names = ("r2_shuffled_in_groups", "r2_new_groups", "bands", "student_accuracy")
    unknown = dict.fromkeys(names)
    assert len(bars_of({**analysis_row, **unknown})) == 6 + 3


def test_figure_and_values_are_written(tmp_path: Path, analysis_row: dict[str, Any]) -> None:
    rows = [analysis_row, {**analysis_row, "teacher": "text", "bands": None}]
    files = plot_analysis(tmp_path, rows)
    assert {path.name for path in files} == {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "figure.svg").read_bytes()[:1000]
    with (tmp_path / "figure.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert len(written) == 22 + 13
    assert written[0] == {
        "teacher": "audio",
        "panel": "agreement",
        "group": "R² of student",
        "variant": "pairs",
        "value": "0.241",
    }
