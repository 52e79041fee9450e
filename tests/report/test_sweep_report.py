from dataclasses import replace
from pathlib import Path

import pytest

from fdkd_lightning.report.sweep_report import print_sweep, sweep_lines
from fdkd_lightning.study.sweep.results import SweepResults, Trial, write_results

NAMES = ("model.threshold", "model.lambda_low")
TRIALS = [
    Trial(f"r{i}", "finished", dict(zip(NAMES, pair, strict=True)), value, value, 2, 2, 1.0)
    for i, (pair, value) in enumerate({(0.5, 1): 0.9, (0.25, 1): 0.7, (0.5, 2): 0.6}.items())
]
RESULTS = SweepResults("s|x", "grid", "val/accuracy", True, TRIALS, {NAMES[0]: 0.8, NAMES[1]: 0.2})


def test_the_table_names_the_best_the_importance_and_what_is_missing() -> None:
    stopped = Trial("st", "stopped", TRIALS[0].parameters, 0.1, 0.2, 1, 2, 1.0)
    failed = Trial("fa", "failed", error="boom")
    results = replace(RESULTS, trials=[*TRIALS, stopped, failed, Trial("wa", "waiting")])
    lines = sweep_lines(results)
    assert lines[0].startswith("3 of 6 trials finished; compared by val/accuracy at the last")
    assert lines[1:4] == [
        "1 stopped early.",
        "1 failed.",
        "1 still waiting: start the sweep again.",
    ]
    assert lines[4].startswith(
        "Best: 0.9000, run r0, model.threshold=0.5, model.lambda_low=1. It is the best of 3"
    )
    assert "| model.threshold | 0.80 |" in lines
    assert "| run | state | last | best | at | of | s | threshold | lambda_low |" in lines
    assert "| st | stopped | 0.1000 | 0.2000 | 1 | 2 | 1.0 | 0.5 | 1 |" in lines
    assert "| fa | failed |  |  |  | 0 |  |  |  |" in lines


def test_the_report_writes_table_and_heat_map(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(RESULTS, [], tmp_path)
    print_sweep(tmp_path)
    assert (tmp_path / "table.md").read_text() in capsys.readouterr().out
    assert (tmp_path / "heatmap.csv").read_text().splitlines()[:2] == [
        "x,x_value,y,y_value,mean,trials",
        "model.lambda_low,1,model.threshold,0.5,0.9,1",
    ]
    assert (tmp_path / "heatmap.png").stat().st_size > 5000


def test_failed_trials_are_the_exit(tmp_path: Path) -> None:
    failed = Trial("fa", "failed", error="fa: boom (see log)")
    write_results(replace(RESULTS, trials=[failed]), [], tmp_path)
    with pytest.raises(SystemExit, match="1 trials failed, the first: fa: boom"):
        print_sweep(tmp_path)
    assert not (tmp_path / "heatmap.png").exists()
    with pytest.raises(SystemExit, match=r"fdkd sweep: .*does not exist"):
        print_sweep(tmp_path / "none")
