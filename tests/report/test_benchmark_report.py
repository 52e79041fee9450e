from pathlib import Path

import pytest

from fdkd_lightning.benchmark.result_files import write_results
from fdkd_lightning.benchmark.row import Row
from fdkd_lightning.report import benchmark_report
from fdkd_lightning.report.benchmark_report import print_benchmark
from fdkd_lightning.report.command import print_report


def test_a_benchmark_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run fdkd benchmark again"):
        print_benchmark(tmp_path)


def test_table_and_files_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "figure.svg"
    figure.write_text("<svg/>")
    monkeypatch.setattr(benchmark_report, "plot_benchmark", lambda *_: [Path(), figure])
    machine = {"processor": "X", "cores": 2, "threads": 2, "gpu": None, "load": None}
    about = {"command": "fdkd benchmark", "machine": machine, "versions": {}}
    row = Row("loss", "64x512", "plain form", "s", 0.005, 0.005, 0.004, 0.006, 9)
    write_results(tmp_path, [row], about)
    print_report(tmp_path)
    printed = capsys.readouterr().out
    assert (tmp_path / "table.md").read_text() in printed
    assert printed.splitlines()[-1] == f"report: {tmp_path / 'report.html'}"
    assert "<title>Benchmark</title>" in (tmp_path / "report.html").read_text()
