import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from fdkd_lightning.study.sweep.local import run_locally
from fdkd_lightning.study.sweep.sweep_file import Sweep
from fdkd_lightning.study.sweep.sweep_results import collect, read_results, write_results


@pytest.mark.usefixtures("fits")
def test_the_files_hold_every_trial_and_the_best_one_as_an_overlay(
    tmp_path: Path, make_sweep: Callable[..., Sweep]
) -> None:
    # The last argument is the learning rate, by name.
    parameters = {
        "model.init_args.net": {"value": 3},
        "model.optimizer.lr": {"values": [0.1, 0.4, 0.2, -1, 0.3]},
    }
    sweep = make_sweep(parameters=parameters)
    results = collect(run_locally(sweep, tmp_path))
    write_results(results, sweep.parameters, tmp_path)
    assert read_results(tmp_path) == results
    assert [t.parameters["model.optimizer.lr"] for t in results.trials] == [0.4, 0.3, 0.2, 0.1, -1]
    assert results.importance == {"model.optimizer.lr": 1.0}
    with (tmp_path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == [*4 * ["finished"], "failed"]
    assert [float(row["last"]) for row in rows[:2]] == [0.4 + 0.03, 0.3 + 0.03]
    assert yaml.safe_load((tmp_path / "best.yaml").read_text()) == {
        "model": {"init_args": {"net": 3}, "optimizer": {"lr": 0.4}}
    }


def test_missing_and_damaged_results_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="start fdkd sweep again"):
        read_results(tmp_path)
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(ValueError, match=r"sweep\.json is damaged"):
        read_results(tmp_path)
