from pathlib import Path

import pytest
from made_up_run import write_run

from fdkd_lightning.report.run_report import print_run, report_after


def test_the_answer_and_the_page_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_run(write_run(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("- Trained for 4 epochs")
    assert lines[-1] == f"report: {tmp_path / 'report.html'}"
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_a_damaged_run_is_an_error_of_the_command(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(SystemExit, match=r"fdkd report: .*run.json must hold a mapping"):
        print_run(tmp_path)


def test_after_a_command_a_damaged_file_is_named_and_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report_after(write_run(tmp_path))
    assert capsys.readouterr().out == f"report: {tmp_path / 'report.html'}\n"
    (tmp_path / "predictions.csv").write_text("torn")
    report_after(tmp_path)
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.startswith("the command succeeded, but no report was written: ")
    assert "predictions.csv must begin with the column index" in shown.err
