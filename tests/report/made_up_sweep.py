"""Made-up results of a sweep."""

from fdkd_lightning.study.sweep.sweep_results import SweepResults, Trial

NAMES = ("model.threshold", "model.lambda_low")
TRIALS = [
    Trial(f"r{i}", "finished", dict(zip(NAMES, pair, strict=True)), value, value, 2, 2, 1.0)
    for i, (pair, value) in enumerate({(0.5, 1): 0.9, (0.25, 1): 0.7, (0.5, 2): 0.6}.items())
]
RESULTS = SweepResults("s|x", "grid", "val/accuracy", True, TRIALS, {NAMES[0]: 0.8, NAMES[1]: 0.2})
