"""A sweep over the user's own module, whose trials take a moment."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fdkd_lightning.study.sweep import fit_trial, local
from fdkd_lightning.study.sweep.sweep_file import Sweep, read_sweep_file


@pytest.fixture(autouse=True)
def _no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)


@pytest.fixture
def content() -> dict[str, Any]:
    """A sweep's file: a grid of two learning rates."""
    return {
        "program": "fdkd",
        "name": "rates",
        "method": "grid",
        "metric": {"name": "val/accuracy", "goal": "maximize"},
        "parameters": {"model.optimizer.lr": {"values": [0.1, 0.01]}},
        "command": [
            *("${env}", "${program}", "fit", "--config", "unimodal_visual.yaml"),
            *("--trainer.default_root_dir=runs/$WANDB_RUN_ID", "${args}"),
        ],
    }


@pytest.fixture
def make_sweep(tmp_path: Path, content: dict[str, Any]) -> Callable[..., Sweep]:
    """The sweep of that file with other keys; None removes one."""

    def make(**changes: Any) -> Sweep:
        kept = {key: value for key, value in (content | changes).items() if value is not None}
        path = tmp_path / "my.yaml"
        path.write_text(yaml.safe_dump(kept))
        return read_sweep_file(path)

    return make


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Arguments of the trials, whose accuracy is their learning rate after each of 3 validations.

    A negative rate fails.
    """
    started: list[list[str]] = []

    def fit(
        args: list[str], run_id: str, watch: fit_trial.Watch, log: Path, group: str
    ) -> str | None:
        started.append(args)
        rate = float(args[-1].partition("=")[2])
        if rate < 0:
            return f"{run_id}: negative"
        for step in (10, 20, 30):
            if watch.report(step, rate + step / 1000):
                break
        return None

    monkeypatch.setattr(local, "fit_trial", fit)
    return started
