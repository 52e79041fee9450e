from dataclasses import replace
from pathlib import Path

import pytest
from made_up_sweep import RESULTS

from fdkd_lightning.report.sweep_report import print_sweep
from fdkd_lightning.study.sweep.sweep_results import Trial, write_results


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
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_failed_trials_are_the_exit(tmp_path: Path) -> None:
    failed = Trial("fa", "failed", error="fa: boom (see log)")
    write_results(replace(RESULTS, trials=[failed]), [], tmp_path)
    with pytest.raises(SystemExit, match="1 trials failed, the first: fa: boom"):
        print_sweep(tmp_path)
    assert not (tmp_path / "heatmap.png").exists()
    with pytest.raises(SystemExit, match=r"fdkd sweep: .*does not exist"):
        print_sweep(tmp_path / "none")
