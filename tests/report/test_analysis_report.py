from pathlib import Path
from typing import Any

import pytest

from fdkd_lightning.analysis.teacher_table import write_table
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

    def bands(folder: Path) -> list[Path]:
        return [folder / "bands.png"]

    monkeypatch.setitem(analysis_report.FIGURES, "bands", bands)
    settings = {
        "figures": {"bands": None, "tsne": "why", "cutoff": None, "umap": "why"},
        "students": {"as configured": None},
    }
    write_table(tmp_path, [analysis_row, {**analysis_row, "teacher": "text"}], settings)
    print_analysis(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert lines[3].startswith("The text teacher's features predict 24 % ")
    names = "analysis.csv, analysis.json, figure.png, bands.csv, bands.png"
    assert lines[6] == f"written to {tmp_path}: {names}"
    assert lines[7] == "left out: tsne, umap: why"
    assert lines[8].startswith("left out: cutoff: no student's run logs train/threshold: train")
    assert drawn == [2]


def test_a_folder_without_analysis_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"analysis\.json does not exist: run fdkd analyze"):
        print_analysis(tmp_path)
