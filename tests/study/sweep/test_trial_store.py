from collections.abc import Callable
from pathlib import Path

import pytest

from fdkd_lightning.study.sweep.sweep_file import Sweep
from fdkd_lightning.study.sweep.trial_store import RUN_ID, TrialStore, history


def test_each_trial_is_handed_out_once(tmp_path: Path, make_sweep: Callable[..., Sweep]) -> None:
    one, two = (TrialStore(make_sweep(), tmp_path / "out") for _ in range(2))
    trials = [one.take(), two.take()]
    assert {trial.number for trial in trials} == {0, 1}
    assert len({trial.user_attrs[RUN_ID] for trial in trials}) == 2
    assert one.take() is None


def test_a_trial_of_a_process_that_is_gone_is_resumed_as_the_same_run(
    tmp_path: Path, make_sweep: Callable[..., Sweep]
) -> None:
    store = TrialStore(make_sweep(), tmp_path / "out")
    killed = store.take()
    killed.report(0.5, 10)
    # The system releases the locks of a killed process.
    store._own.release()
    again = TrialStore(make_sweep(), tmp_path / "out").take()
    assert (again.number, again.user_attrs[RUN_ID]) == (killed.number, killed.user_attrs[RUN_ID])
    assert history(store.study.get_trials()[again.number]) == [0.5]


def test_a_trial_of_another_folder_is_left_to_it(
    tmp_path: Path, make_sweep: Callable[..., Sweep]
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    here = TrialStore(make_sweep(), tmp_path / "here", url)
    assert here.take().number == 0
    here._own.release()
    assert TrialStore(make_sweep(), tmp_path / "there", url).take().number == 1


def test_a_failed_trial_comes_again_only_when_asked_for(
    tmp_path: Path, make_sweep: Callable[..., Sweep]
) -> None:
    store = TrialStore(make_sweep(run_cap=1), tmp_path / "out")
    trial = store.take()
    store.fail(trial, "no")
    assert store.take() is None
    store.retry_failed()
    assert store.take().number == trial.number


def test_a_larger_run_cap_adds_trials(tmp_path: Path, make_sweep: Callable[..., Sweep]) -> None:
    assert len(TrialStore(make_sweep(run_cap=1), tmp_path / "out").study.trials) == 1
    assert len(TrialStore(make_sweep(run_cap=2), tmp_path / "out").study.trials) == 2
    assert len(TrialStore(make_sweep(run_cap=2), tmp_path / "out").study.trials) == 2


def test_a_stored_sweep_of_another_file_is_refused(
    tmp_path: Path, make_sweep: Callable[..., Sweep]
) -> None:
    TrialStore(make_sweep(), tmp_path / "out")
    with pytest.raises(ValueError, match="'rates' was made from a file with other") as error:
        TrialStore(make_sweep(parameters={"x": {"values": [1]}}), tmp_path / "out")
    assert "0 of its 2 trials are finished" in str(error.value)
    assert str(tmp_path / "out/sweep.db") in str(error.value)
