from pathlib import Path

from fdkd_lightning.benchmark.result_files import Results
from fdkd_lightning.benchmark.row import Row
from fdkd_lightning.benchmark.run.measure_run import CACHED, CONFIGURED
from fdkd_lightning.benchmark.run.run_rows import run_rows
from fdkd_lightning.report.benchmark_figure import compared, plot_benchmark


def test_the_figure_names_what_it_shows(tmp_path: Path) -> None:
    rows = [
        Row("loss", "64x512", "plain form", "s", 0.005, 0.005, 0.004, 0.006, 9),
        Row("loss", "64x512", "FDKDLoss", "s", 0.002, 0.002, 0.002, 0.003, 9, "plain form", 0.4),
        Row("curves", "map", "8x8", "s", 0.002, 0.002, 0.002, 0.003, 9),
        *run_rows(CONFIGURED, "batch 4", [{"student": 1.0, "loss": 0.5}], None, None),
        *run_rows(CACHED, "batch 4", [{"student": 1.0}], None, None),
    ]
    assert [row.variant for row in compared(rows[:2])] == ["FDKDLoss"]
    files = plot_benchmark(tmp_path, Results(rows, {}))
    assert [path.name for path in files] == ["figure.png", "figure.svg"]
    assert all(path.stat().st_size > 5000 for path in files)
