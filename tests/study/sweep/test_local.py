import math
from collections.abc import Callable
from pathlib import Path

import pytest

from fdkd_lightning.study.sweep import local
from fdkd_lightning.study.sweep.local import SweepError, run_locally
from fdkd_lightning.study.sweep.sweep_file import Sweep
from fdkd_lightning.study.sweep.sweep_results import collect

RANGE = {"model.optimizer.lr": {"distribution": "log_uniform_values", "min": 0.01, "max": 1.0}}


def rates(fits: list[list[str]]) -> list[float]:
    return [float(args[-1].partition("=")[2]) for args in fits]


def test_a_grid_runs_each_point_and_a_second_start_none(
    tmp_path: Path, make_sweep: Callable[..., Sweep], fits: list[list[str]]
) -> None:
    lines: list[str] = []
    store = run_locally(make_sweep(), tmp_path / "out", say=lines.append)
    assert rates(fits) == [0.1, 0.01]
    start, *lines = lines
    assert start.endswith(f"logs of the trials: {tmp_path / 'out/trials'}")
    assert [line.split(", ")[0] for line in lines] == ["1 of 2", "2 of 2"]
    # The last validation counts, as in W&B's summary.
    assert [trial.last for trial in collect(store).trials] == [0.1 + 0.03, 0.01 + 0.03]
    run_locally(make_sweep(), tmp_path / "out")
    assert len(fits) == 2


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_a_search_draws_other_values_after_each_start_up_to_its_cap(
    tmp_path: Path, make_sweep: Callable[..., Sweep], fits: list[list[str]], method: str
) -> None:
    sweep = make_sweep(method=method, parameters=RANGE, run_cap=4)
    run_locally(sweep, tmp_path / "out", count=2)
    assert len(fits) == 2
    run_locally(sweep, tmp_path / "out")
    assert len({*rates(fits)}) == 4
    assert all(0.01 <= rate <= 1 for rate in rates(fits))


def test_a_search_without_end_needs_a_count(
    tmp_path: Path, make_sweep: Callable[..., Sweep], fits: list[list[str]]
) -> None:
    sweep = make_sweep(method="random", parameters=RANGE)
    with pytest.raises(ValueError, match="method='random' has no end: give run_cap"):
        run_locally(sweep, tmp_path / "out")
    run_locally(sweep, tmp_path / "out", count=3)
    assert len(fits) == 3


def test_a_trial_that_is_behind_at_a_band_is_stopped_and_not_chosen(
    tmp_path: Path, make_sweep: Callable[..., Sweep], fits: list[list[str]]
) -> None:
    early = {"type": "hyperband", "min_iter": 2, "eta": 2}
    parameters = {"model.optimizer.lr": {"values": [0.3, 0.4, 0.2]}}
    store = run_locally(make_sweep(early_terminate=early, parameters=parameters), tmp_path / "out")
    found = {t.parameters["model.optimizer.lr"]: t for t in collect(store).trials}
    assert (found[0.2].state, found[0.2].validations) == ("stopped", 2)
    assert (found[0.3].state, found[0.4].state) == ("finished", "finished")
    assert found[0.3].validations == 3


def test_a_failed_trial_leaves_the_others_and_runs_again_at_the_next_start(
    tmp_path: Path, make_sweep: Callable[..., Sweep], fits: list[list[str]]
) -> None:
    sweep = make_sweep(parameters={"model.optimizer.lr": {"values": [-1, 0.2]}})
    store = run_locally(sweep, tmp_path / "out")
    states = [(trial.state, trial.error is None) for trial in collect(store).trials]
    assert states == [("finished", True), ("failed", False)]
    run_locally(sweep, tmp_path / "out")
    assert rates(fits) == [-1, 0.2, -1]


def test_a_sweep_whose_first_trials_fail_ends(
    tmp_path: Path, make_sweep: Callable[..., Sweep], fits: list[list[str]]
) -> None:
    sweep = make_sweep(parameters={"model.optimizer.lr": {"values": [-1, -2, -3, -4]}})
    with pytest.raises(SweepError, match=r"the first 3 trials failed, the last: .*negative"):
        run_locally(sweep, tmp_path / "out")
    assert len(fits) == 3


def test_a_value_that_is_not_finite_is_an_error(
    tmp_path: Path, make_sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(args: object, run_id: str, watch: local.Watch, *_: object) -> None:
        with pytest.raises(ValueError, match="val/accuracy is nan in step 10: the trial diverged"):
            watch.report(10, math.nan)

    monkeypatch.setattr(local, "fit_trial", diverge)
    store = run_locally(make_sweep(run_cap=1), tmp_path / "out")
    assert "there was no validation" in str(collect(store).trials[0].error)


def test_a_resumed_trial_keeps_the_values_from_before(
    tmp_path: Path, make_sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(args: object, run_id: str, watch: local.Watch, *_: object) -> None:
        watch.report(10, 0.5)
        watch.report(20, 0.6)
        raise KeyboardInterrupt

    def resumed(args: object, run_id: str, watch: local.Watch, *_: object) -> None:
        watch.report(20, 0.6)
        watch.report(30, 0.4)

    monkeypatch.setattr(local, "fit_trial", killed)
    with pytest.raises(KeyboardInterrupt):
        run_locally(make_sweep(run_cap=1), tmp_path / "out")
    monkeypatch.setattr(local, "fit_trial", resumed)
    [trial] = collect(run_locally(make_sweep(run_cap=1), tmp_path / "out")).trials
    assert (trial.last, trial.best, trial.best_validation, trial.validations) == (0.4, 0.6, 2, 3)
