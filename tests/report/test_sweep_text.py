from dataclasses import replace

from made_up_sweep import RESULTS, TRIALS

from fdkd_lightning.report.sweep_text import sweep_lines
from fdkd_lightning.study.sweep.sweep_results import Trial


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
    piped = replace(TRIALS[0], parameters={"a": "x|y"})
    assert "x\\|y |" in sweep_lines(replace(RESULTS, trials=[piped]))[-4]
