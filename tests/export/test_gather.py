import copy
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fdkd_lightning.export.base import ExportError
from fdkd_lightning.export.facts import RunFacts
from fdkd_lightning.export.gather import gather_facts

CONFIG: dict[str, Any] = {
    "trainer": {"limit_val_batches": None, "limit_test_batches": None, "fast_dev_run": False},
    "model": {
        "class_path": "fdkd_lightning.DistillationModule",
        "init_args": {
            "student": {"class_path": "fdkd_lightning.ResNet", "init_args": {"num_classes": 2}},
            "teachers": {
                "audio": {
                    "class_path": "fdkd_lightning.PretrainedModel",
                    "init_args": {
                        "model": {"class_path": "mine.Net"},
                        "checkpoint": "teacher/best.ckpt",
                    },
                }
            },
            "criterion": {
                "class_path": "fdkd_lightning.KDLoss",
                "init_args": {"temperature": 2.0, "weight": None},
            },
            "task_weight": 1.0,
        },
    },
    "data": {"class_path": "mine.Data", "init_args": {"root": "/home/me/data", "noise": 0.5}},
    "ckpt_path": None,
}
FIT = """epoch,step,train/loss,val/accuracy,val/loss
0,4,,0.5,1.0
0,4,2.0,,
1,9,,0.75,0.5
1,9,1.0,,
"""
TEST = "epoch,step,test/accuracy\n1,10,0.625\n"


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of two epochs of five steps, and its folder, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    checkpoint(epoch=1, step=10)
    log(0, FIT)
    return Path("run")


def checkpoint(name: str = "best", **numbers: int) -> None:
    found = {"epoch": numbers["epoch"], "global_step": numbers["step"], "state_dict": {}}
    torch.save(found, f"run/checkpoints/{name}.ckpt")
    # Before the logs, whatever the clock's grain.
    os.utime(f"run/checkpoints/{name}.ckpt", (1e9, 1e9))


def log(version: int, metrics: str, **changed: Any) -> None:
    folder = Path(f"run/logs/version_{version}")
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(metrics)
    config = copy.deepcopy(CONFIG)
    for path, value in changed.items():
        *above, last = path.split("__")
        inner = config
        for name in above:
            inner = inner[name]
        inner[last] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def gathered(name: str = "best", **more: Any) -> RunFacts:
    other = copy.deepcopy(CONFIG)
    other["model"]["init_args"]["criterion"]["init_args"]["temperature"] = 9.0
    return gather_facts(other, Path("run"), Path(f"run/checkpoints/{name}.ckpt"), **more)


def test_the_configuration_that_the_run_saved_goes_before_the_given_one() -> None:
    facts = gathered()
    assert facts.criterion == {
        "class_path": "fdkd_lightning.KDLoss",
        "init_args": {"temperature": 2.0},
    }
    assert facts.source == "the configuration that the run saved"
    assert facts.module == "fdkd_lightning.DistillationModule"
    assert facts.task_weight == 1.0
    # Where the data lie is nobody's business.
    assert facts.data == {"class_path": "mine.Data", "init_args": {"noise": 0.5}}


def test_the_metrics_are_those_of_the_checkpoints_epoch() -> None:
    assert gathered().metrics == {"val/accuracy": 0.75, "val/loss": 0.5}
    checkpoint("last", epoch=0, step=5)
    facts = gathered("last")
    assert facts.metrics == {"val/accuracy": 0.5, "val/loss": 1.0}
    assert facts.checkpoint == "`last.ckpt`, after 1 epoch, 5 steps"


def test_without_logs_of_these_weights_the_given_configuration_counts_and_is_said_to() -> None:
    checkpoint(epoch=7, step=40)
    facts = gathered()
    assert facts.metrics == {}
    assert facts.criterion is not None
    assert facts.criterion["init_args"]["temperature"] == 9.0
    assert "no logs of these weights" in facts.source


def test_a_plain_state_dict_has_no_metrics() -> None:
    torch.save({"fc.weight": torch.ones(1)}, "run/checkpoints/mine.ckpt")
    facts = gathered("mine")
    assert facts.metrics == {}
    assert "does not say how long" in facts.checkpoint


def test_a_test_of_these_weights_counts() -> None:
    log(1, TEST)
    assert gathered().metrics["test/accuracy"] == 0.625
    log(2, TEST.replace("0.625", "0.5"), ckpt_path="run/checkpoints/best.ckpt")
    assert gathered().metrics["test/accuracy"] == 0.5


@pytest.mark.parametrize(
    "changed",
    [
        {"ckpt_path": "last"},
        {"data__init_args__noise": 0.0},
        {"data__class_path": "mine.Other"},
        {"trainer__limit_test_batches": 2},
        {"trainer__limit_test_batches": 1},
        {"trainer__limit_test_batches": 0.5},
        {"trainer__fast_dev_run": True},
    ],
)
def test_a_test_of_other_weights_or_data_or_of_a_part_does_not_count(
    changed: dict[str, Any],
) -> None:
    log(1, TEST, **changed)
    assert "test/accuracy" not in gathered().metrics


def test_a_test_beside_training_may_be_of_any_weights_and_does_not_count() -> None:
    columns = "epoch,step,train/loss,val/accuracy,val/loss,test/accuracy\n"
    log(1, columns + "1,9,1.0,,,\n1,9,,0.75,0.5,\n2,10,,,,0.875\n2,10,,,,0.25\n")
    assert gathered().metrics == {"val/accuracy": 0.75, "val/loss": 0.5}


def test_a_studys_result_tells_the_test_of_the_last_and_the_best_weights() -> None:
    checkpoint("last", epoch=1, step=10)
    result = {"metric": "accuracy", "test_last": 0.25, "test_best": 0.375, "val_best": 0.5}
    Path("run/result.json").write_text(json.dumps(result))
    assert gathered().metrics["test/accuracy"] == 0.375
    assert gathered("last").metrics["test/accuracy"] == 0.25
    torch.save({}, "run/checkpoints/mine.ckpt")
    assert "test/accuracy" not in gathered("mine").metrics
    os.utime("run/result.json", (9e8, 9e8))
    assert "test/accuracy" not in gathered().metrics


def test_a_test_elsewhere_on_the_machine_is_one_of_the_same_data() -> None:
    log(1, TEST, data__init_args__root="/scratch", trainer__limit_test_batches=1.0)
    assert gathered().metrics["test/accuracy"] == 0.625


def test_a_test_before_the_weights_were_written_does_not_count() -> None:
    log(1, TEST)
    os.utime("run/logs/version_1/metrics.csv", (9e8, 9e8))
    assert "test/accuracy" not in gathered().metrics


def test_validation_on_a_part_does_not_count() -> None:
    log(1, FIT, trainer__limit_val_batches=2)
    assert gathered().metrics == {}


def test_a_later_start_with_the_same_step_is_the_one_that_counts() -> None:
    log(10, FIT.replace("0.75", "0.875"))
    log(9, FIT.replace("0.75", "0.25"))
    assert gathered().metrics["val/accuracy"] == 0.875


def test_the_teachers_file_is_known_by_its_hash() -> None:
    [teacher] = gathered().teachers
    assert (teacher.modality, teacher.network) == ("audio", "mine.Net")
    assert (teacher.checkpoint, teacher.sha256) == ("teacher/best.ckpt", None)
    Path("teacher").mkdir()
    Path("teacher/best.ckpt").write_bytes(b"weights")
    os.utime("teacher/best.ckpt", (9e8, 9e8))
    [teacher] = gathered().teachers
    assert teacher.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert not teacher.changed
    os.utime("teacher/best.ckpt", (2e9, 2e9))
    assert gathered().teachers[0].changed


def test_a_folder_of_this_machine_is_not_told(tmp_path: Path) -> None:
    init_args = {"model": {"class_path": "mine.Net"}, "checkpoint": str(tmp_path / "t.ckpt")}
    teachers = {"audio": {"class_path": "x.PretrainedModel", "init_args": init_args}}
    log(1, FIT, model__init_args__teachers=teachers)
    assert gathered().teachers[0].checkpoint == "t.ckpt"


def test_neither_is_one_that_an_argument_names() -> None:
    arguments = {
        "prepared": "/home/me/decoded",
        "prepare_workers": 3,
        "table": "/home/me/pairs.csv",
        "folds": ["~/one.csv", "C:\\Users\\me\\two.csv", "lists/three.csv"],
        "transforms": {"text": {"class_path": "x.Tokenize", "init_args": {"tokenizer": "/srv/t"}}},
        "separator": "/",
        "clip": 5.0,
    }
    criterion = {"class_path": "mine.Loss", "init_args": {"prior": "/home/me/prior.pt"}}
    log(1, FIT, data__init_args=arguments, model__init_args__criterion=criterion)
    facts = gathered()
    assert facts.data["init_args"] == {
        "table": "pairs.csv",
        "folds": ["one.csv", "two.csv", "lists/three.csv"],
        "transforms": {"text": {"class_path": "x.Tokenize", "init_args": {"tokenizer": "t"}}},
        "separator": "/",
        "clip": 5.0,
    }
    assert facts.criterion == {"class_path": "mine.Loss", "init_args": {"prior": "prior.pt"}}


def test_a_test_of_data_that_are_decoded_elsewhere_counts() -> None:
    log(1, TEST, data__init_args__prepared="/scratch/decoded", data__init_args__prepare_workers=2)
    assert gathered().metrics["test/accuracy"] == 0.625


def test_a_teacher_without_a_checkpoint_and_a_run_without_teachers() -> None:
    log(1, FIT, model__init_args__teachers={"audio": {"class_path": "mine.Net"}})
    [teacher] = gathered().teachers
    assert (teacher.network, teacher.checkpoint) == ("mine.Net", None)
    log(2, FIT, model={"class_path": "fdkd_lightning.UnimodalModule", "init_args": {}})
    facts = gathered()
    assert facts.teachers == ()
    assert facts.criterion is None


def study(folder: Path) -> None:
    folder.mkdir()
    rows = [("KD", 0, 0.5), ("KD", 1, 0.75), ("w/o KD", 0, 0.25)]
    header = "method,direction,regime,seed,tuned,chosen,val_last,test_last,test_best\n"
    lines = [f"{m},audio to visual,few labels,{s},,True,0.1,{v},0.9\n" for m, s, v in rows]
    (folder / "results.csv").write_text(header + "".join(lines))
    settings = {"metric": "accuracy", "epoch": "last"}
    (folder / "results.json").write_text(json.dumps({"study": settings, "warnings": []}))


def test_of_a_study_the_runs_of_the_same_method_count() -> None:
    study(Path("study"))
    own = Path("study/runs/KD-audio_to_visual-few_labels-seed1-0123abcd")
    own.parent.mkdir()
    Path("run").rename(own)
    file = own / "checkpoints/best.ckpt"
    found = gather_facts(CONFIG, own, file, Path("study")).study
    assert found is not None
    assert (found.method, found.direction, found.regime) == ("KD", "audio to visual", "few labels")
    assert (found.metric, found.epoch) == ("accuracy", "last")
    assert found.values == {0: 0.5, 1: 0.75}


def test_a_run_that_is_none_of_the_studys_is_an_error() -> None:
    study(Path("study"))
    with pytest.raises(ExportError, match=r"study='study' has no run 'run'.*study/runs"):
        gathered(study=Path("study"))
    with pytest.raises(FileNotFoundError, match="give the folder of a study that was run"):
        gathered(study=Path("nowhere"))
