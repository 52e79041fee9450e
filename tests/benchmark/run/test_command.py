import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from fdkd_lightning.benchmark.run.command import rows_of
from fdkd_lightning.benchmark.run.measure_run import CACHED, CONFIGURED, MeasuredRun
from fdkd_lightning.cli import main

NETWORK = {"class_path": "recordings.Teacher"}
CONFIG: dict[str, Any] = {
    "trainer": {"accelerator": "cpu", "max_epochs": 1, "enable_progress_bar": False},
    "model": {
        "class_path": "fdkd_lightning.DistillationModule",
        "init_args": {
            "student_modality": "visual",
            "student": NETWORK,
            "teachers": {"audio": NETWORK},
            "criterion": {"class_path": "fdkd_lightning.KDLoss"},
        },
    },
    "data": {"class_path": "recordings.Pairs"},
}


@pytest.mark.filterwarnings("ignore")
def test_a_run_is_measured_and_its_folder_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    Path("run.yaml").write_text(yaml.safe_dump(CONFIG))
    main(["benchmark", "--config=run.yaml", "--steps=4", "--trainer.default_root_dir=r"])
    assert [path.name for path in Path("r").iterdir()] == ["benchmark"]
    about = json.loads(Path("r/benchmark/benchmark.json").read_text())
    assert about["command"].startswith("fdkd benchmark --config=run.yaml")
    assert about["run"]["criterion"] == "KDLoss"
    assert about["run"]["samples"] == 22
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("A step takes ")
    assert " bounds it, with " in printed[1]
    assert printed[2].startswith("With a teacher cache a step takes ")


def test_a_wrong_number_of_steps_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    Path("run.yaml").write_text(yaml.safe_dump(CONFIG))
    with pytest.raises(SystemExit):
        main(["benchmark", "--config=run.yaml", "--steps=1"])
    assert "steps=1" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_the_loader_s_time_is_that_of_a_step() -> None:
    measured = MeasuredRun(
        steps={CONFIGURED: [{"student": 1.0}], CACHED: [{"student": 0.5}]},
        loader_seconds={CONFIGURED: 2.0, CACHED: None},
    )
    rows = rows_of(measured, {"batch_size": 8, "batches_per_step": 4})
    steps = [row for row in rows if row.variant.endswith(": step")]
    assert [row.median for row in steps] == [8.0, 0.5]
    assert steps[1].ratio == 0.5 / 8
    assert {row.size for row in rows} == {"batch 32"}
