import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml

from fdkd_lightning.study.sweep import fit_trial as module
from fdkd_lightning.study.sweep.fit_trial import Watch, fit_trial, wandb_offline
from fdkd_lightning.study.sweep.local import run_locally
from fdkd_lightning.study.sweep.sweep_file import Sweep
from fdkd_lightning.study.sweep.sweep_results import collect, write_results
from fdkd_lightning.training.command import FDKDCLI

FIT = ["fit", "--config=unimodal_visual.yaml", "--trainer.default_root_dir=runs/$WANDB_RUN_ID"]


@pytest.fixture(autouse=True)
def _argv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fdkd"])


def values_of(folder: Path, *args: str) -> tuple[str | None, list[tuple[int, float]]]:
    found: list[tuple[int, float]] = []

    def report(step: int, value: float) -> bool:
        found.append((step, value))
        return len(found) == 3

    watch = Watch("val/accuracy", report)
    return fit_trial([*FIT, *args], "seven", watch, folder / "seven.log", "rates"), found


def test_a_trial_reports_each_validation_stops_when_told_and_resumes(home: Path) -> None:
    error, found = values_of(home)
    assert error is None
    # Two epochs of two steps.
    assert [step for step, _ in found] == [2, 4]
    error, resumed = values_of(home, "--trainer.max_epochs=9")
    assert (error, [step for step, _ in resumed]) == (None, [6, 8, 10])
    assert "WANDB_RUN_ID" not in os.environ


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--trainer.default_root_dir=runs/same"], "default_root_dir='runs/same' is the same for"),
        (["--trainer.devices=2"], "the trial would run on 2 devices: add --trainer.devices=1"),
        (["--model.thresold=2"], "thresold"),
    ],
)
def test_a_trial_that_cannot_run_is_an_error_in_a_line(
    home: Path, args: list[str], message: str
) -> None:
    error, found = values_of(home, *args)
    assert error is not None
    assert message in error
    assert "\n" not in error
    assert not found


def test_an_unknown_metric_is_named_with_those_there_are(home: Path) -> None:
    watch = Watch("val/acuracy", lambda step, value: False)
    error = fit_trial(FIT, "seven", watch, home / "log", "rates")
    assert "metric.name='val/acuracy' is not logged: choose one of" in str(error)
    assert "val/accuracy" in str(error)


def test_ctrl_c_ends_the_sweep_and_not_the_trial_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any) -> None:
        # As Lightning ends a fit.
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    monkeypatch.setattr(module, "TrialCLI", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_trial(FIT, "seven", Watch("val/accuracy", print), tmp_path / "log", "rates")


def test_the_environment_is_the_runs_own_and_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    with wandb_offline("seven", "rates"):
        names = ("WANDB_RUN_ID", "WANDB_MODE", "WANDB_RUN_GROUP")
        assert [os.environ[name] for name in names] == ["seven", "offline", "rates"]
    assert os.environ["WANDB_RUN_ID"] == "mine"
    assert not {"WANDB_MODE", "WANDB_RUN_GROUP"} & os.environ.keys()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with wandb_offline("seven", "rates"):
        assert os.environ["WANDB_MODE"] == "disabled"


def test_two_trials_log_to_wandb_offline_under_ids_of_their_own(
    home: Path, make_sweep: Callable[..., Sweep], content: dict[str, Any]
) -> None:
    logger = {"class_path": "lightning.pytorch.loggers.WandbLogger", "init_args": {"project": "p"}}
    (home / "wandb.yaml").write_text(yaml.safe_dump({"trainer": {"logger": logger}}))
    command = [*content["command"][:-1], "--config=wandb.yaml", "${args}"]
    sweep = make_sweep(
        command=command, parameters={"model.init_args.optimizer.init_args.lr": {"values": [0.1, 0]}}
    )
    results = collect(run_locally(sweep, home / "out"))
    write_results(results, sweep.parameters, home / "out")
    assert [trial.state for trial in results.trials] == ["finished", "finished"]
    # It learns, unless the rate is 0.
    assert results.trials[0].parameters == {"model.init_args.optimizer.init_args.lr": 0.1}
    for trial in results.trials:
        assert trial.validations == 2
        [log] = (home / "runs" / trial.run).rglob("*.wandb")
        assert log.name == f"run-{trial.run}.wandb"
        assert log.parent.name.startswith("offline-run-")
    assert wandb.run is None
    # The overlay of the best one is one more configuration of the command.
    best = FDKDCLI([*FIT[:2], "--config=out/best.yaml", "--trainer.fast_dev_run=true"])
    assert best.config.fit.model.init_args.optimizer.init_args.lr == 0.1
