from pathlib import Path
from typing import Any

import pytest

from fdkd_lightning.analysis.table import write_table
from fdkd_lightning.report import analysis_report
from fdkd_lightning.report.analysis_report import print_analysis


def test_three_sentences_a_teacher_and_the_files_are_printed(
    tmp_path: Path,
    analysis_row: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[int] = []

    def plot(folder: Path, rows: list[dict[str, Any]]) -> list[Path]:
        drawn.append(len(rows))
        return [folder / "figure.png"]

    monkeypatch.setattr(analysis_report, "plot_analysis", plot)
    write_table(tmp_path, [analysis_row, {**analysis_row, "teacher": "text"}], {})
    print_analysis(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert lines[3].startswith("The text teacher's features predict 24 % ")
    named = [Path(name).name for name in lines[-1].removeprefix("written: ").split(", ")]
    assert named == ["analysis.csv", "analysis.json", "figure.png"]
    assert drawn == [2]


def test_a_folder_without_analysis_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"analysis\.json does not exist: run fdkd analyze"):
        print_analysis(tmp_path)
