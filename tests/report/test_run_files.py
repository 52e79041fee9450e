import json
from pathlib import Path

import pytest
import yaml
from made_up_run import CONFIG, make_older, record, write_log, write_predictions, write_run

from fdkd_lightning.report.prediction_file import Predictions
from fdkd_lightning.report.run_files import is_run, read_run_files


def test_all_that_a_run_left_is_read(tmp_path: Path) -> None:
    facts = read_run_files(write_run(tmp_path))
    assert facts.config == CONFIG
    assert facts.monitor == "val/accuracy"
    # The log counts from 0: the second epoch ends at step 19.
    assert facts.chosen_step == 19
    assert isinstance(facts.predictions, Predictions)
    assert facts.command("test") == "fdkd test --config=a.yaml"


def test_predictions_older_than_the_training_are_left_out(tmp_path: Path) -> None:
    write_run(tmp_path)
    make_older(tmp_path / "predictions.csv")
    assert read_run_files(tmp_path).predictions == "predictions.csv is older than this training"


def test_without_a_record_the_saved_configuration_is_read(tmp_path: Path) -> None:
    write_log(tmp_path, 9, [{"step": 1, "train/loss": 1.0}])
    for version in (9, 10):
        folder = tmp_path / f"logs/version_{version}"
        folder.mkdir(exist_ok=True)
        secret = {"seed": version, "api_key": "hunter2", "root": "/home/me/data"}
        (folder / "config.yaml").write_text(yaml.safe_dump(secret))
    # Version 9 trained, version 10 evaluated.
    facts = read_run_files(tmp_path)
    assert facts.fit is None
    assert facts.config == {"seed": 9, "api_key": "[redacted]", "root": "data"}
    assert (facts.monitor, facts.chosen_step) == (None, None)
    saved = tmp_path / "logs/version_9/config.yaml"
    assert facts.command("fit") == f"fdkd fit --config={saved}"
    saved.write_text("a: [")
    with pytest.raises(ValueError, match=r"version_9/config.yaml is damaged"):
        read_run_files(tmp_path)
    (tmp_path / "logs/version_9/metrics.csv").unlink()
    assert (
        read_run_files(tmp_path).command("test") == f"fdkd test --config={folder / 'config.yaml'}"
    )


def test_the_saved_configuration_goes_before_the_recorded_command(tmp_path: Path) -> None:
    saved = write_log(write_run(tmp_path / "a run"), 1, [{"step": 1, "train/loss": 1}])
    config = saved.with_name("config.yaml")
    config.write_text("seed_everything: 1")
    facts = read_run_files(tmp_path / "a run")
    assert facts.config == CONFIG
    assert facts.command("test") == f"fdkd test '--config={config}'"


def test_only_a_resumed_run_keeps_the_earlier_logs(tmp_path: Path) -> None:
    write_run(tmp_path)
    write_log(tmp_path, 1, [{"step": 29, "epoch": 2, "train/loss": 9.0}])
    assert [p.value for p in read_run_files(tmp_path).series["train/loss"]] == [9.0]
    (tmp_path / "run.json").write_text(json.dumps(record(resumed_from={"file": "last.ckpt"})))
    assert [p.value for p in read_run_files(tmp_path).series["train/loss"]] == [4.0, 3.0, 9.0]


def test_what_a_study_evaluates_after_the_fit_is_no_curve(tmp_path: Path) -> None:
    write_run(tmp_path)
    rows = [
        {"step": 29, "epoch": 2, "train/loss": 2.0, "val/loss": 0.5},
        {"step": 30, "epoch": 3, "val/loss": 0.4, "test/loss": 0.6},
    ]
    write_log(tmp_path, 1, rows)

    def logged() -> dict[str, list[int]]:
        return {name: [p.step for p in x] for name, x in read_run_files(tmp_path).series.items()}

    (tmp_path / "run.json").write_text(json.dumps(record(steps=30)))
    assert logged() == {"train/loss": [29], "val/loss": [29]}
    # It has not finished.
    (tmp_path / "run.json").write_text(json.dumps(record(steps=None)))
    assert logged() == {"train/loss": [29], "val/loss": [29, 30], "test/loss": [30]}


def test_what_makes_a_folder_a_run(tmp_path: Path) -> None:
    assert not is_run(tmp_path)
    assert not is_run(tmp_path / "none")
    write_predictions(tmp_path)
    assert is_run(tmp_path)
    write_log(tmp_path / "other", 0, [{"step": 0}])
    assert is_run(tmp_path / "other")
    assert read_run_files(tmp_path / "other").series == {}
