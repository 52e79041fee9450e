import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fdkd_lightning.export.run_facts import RunFacts, gather_facts
from fdkd_lightning.training.run.checkpoint_description import describe_checkpoint

TEACHER = {
    "class_path": "fdkd_lightning.PretrainedModel",
    "init_args": {"model": {"class_path": "mine.Net"}, "checkpoint": "teacher/best.ckpt"},
}
CONFIG: dict[str, Any] = {
    "model": {
        "class_path": "fdkd_lightning.DistillationModule",
        "init_args": {
            "student": {"class_path": "fdkd_lightning.ResNet", "init_args": {"num_classes": 2}},
            "teachers": {"audio": TEACHER},
            "criterion": {
                "class_path": "fdkd_lightning.KDLoss",
                "init_args": {"temperature": 2.0, "weight": None},
            },
            "task_weight": 1.0,
        },
    },
    "data": {"class_path": "mine.Data", "init_args": {"root": "/home/me/data", "noise": 0.5}},
}
DATA = {"class_path": "mine.Data", "init_args": {"noise": 0.5}}
FIT: dict[str, Any] = {
    "config": CONFIG,
    "data": DATA,
    "coverage": None,
    "weights": {"teachers.audio": {"file": "teacher/best.ckpt", "sha256": "ab12"}},
    "finished": "2026-01-01T00:00:00+00:00",
}
BEST, LAST = Path("run/checkpoints/best.ckpt"), Path("run/checkpoints/last.ckpt")


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of two epochs of five steps, best in the first, in the working directory."""
    monkeypatch.chdir(tmp_path)
    BEST.parent.mkdir(parents=True)
    checkpoint(BEST, 0, 5, 0.75)
    checkpoint(LAST, 1, 10, 0.5)
    record()


def checkpoint(path: Path, epoch: int, step: int, accuracy: float, whole: bool = True) -> None:
    validation = {"step": step, "whole_split": whole, "metrics": {"val/accuracy": accuracy}}
    callbacks = {"RunRecord": {"validation": validation}}
    torch.save({"epoch": epoch, "global_step": step, "callbacks": callbacks}, path)


def record(*evaluations: Any, **fit: Any) -> None:
    content = {
        "version": 1,
        "fit": FIT | fit,
        "checkpoints": {path.stem: describe_checkpoint(path) for path in (BEST, LAST)},
        "evaluations": evaluations,
    }
    Path("run/run.json").write_text(json.dumps(content))


def evaluation(path: Path = BEST, accuracy: float = 0.625, **changed: Any) -> dict[str, Any]:
    entry = {
        "split": "test",
        "checkpoint": describe_checkpoint(path),
        "metrics": {"test/accuracy": accuracy},
        "whole_split": True,
        "data": DATA,
    }
    return entry | changed


def gathered(path: Path = BEST) -> RunFacts:
    """The facts, with another temperature in the configuration that is given."""
    other = copy.deepcopy(CONFIG)
    other["model"]["init_args"]["criterion"]["init_args"]["temperature"] = 9.0
    return gather_facts(other, Path("run"), path, ["root"])


def temperature(facts: RunFacts) -> float:
    assert facts.criterion is not None
    found: float = facts.criterion["init_args"]["temperature"]
    return found


def test_the_runs_own_record_goes_before_the_given_configuration() -> None:
    facts = gathered()
    assert facts.source == "run.json, the run's own record"
    assert facts.criterion == {
        "class_path": "fdkd_lightning.KDLoss",
        "init_args": {"temperature": 2.0},
    }
    assert facts.data == DATA
    assert facts.fit == FIT
    assert (facts.module, facts.task_weight) == ("fdkd_lightning.DistillationModule", 1.0)
    [teacher] = facts.teachers
    assert (teacher.modality, teacher.network) == ("audio", "mine.Net")
    assert (teacher.checkpoint, teacher.sha256) == ("teacher/best.ckpt", "ab12")


def test_the_validation_is_that_of_the_checkpoint() -> None:
    assert gathered().metrics == {"val/accuracy": 0.75}
    assert gathered().checkpoint == "`best.ckpt`, after 1 epoch, 5 steps"
    assert gathered(LAST).metrics == {"val/accuracy": 0.5}
    assert gathered(LAST).checkpoint == "`last.ckpt`, after 2 epochs, 10 steps"


def test_validation_on_a_part_of_the_split_does_not_count() -> None:
    checkpoint(BEST, 0, 5, 0.75, whole=False)
    record()
    assert gathered().metrics == {}


def test_an_evaluation_of_these_weights_counts_the_latest_of_several() -> None:
    record(evaluation(), evaluation(LAST, 0.25))
    assert gathered().metrics["test/accuracy"] == 0.625
    assert gathered(LAST).metrics["test/accuracy"] == 0.25
    record(evaluation(), evaluation(accuracy=0.5))
    assert gathered().metrics["test/accuracy"] == 0.5


@pytest.mark.parametrize(
    "changed",
    [
        {"checkpoint": None},
        {"whole_split": False},
        {"data": {"class_path": "mine.Other", "init_args": {"noise": 0.5}}},
        {"data": {"class_path": "mine.Data", "init_args": {"noise": 0.0}}},
    ],
)
def test_an_evaluation_of_unknown_weights_a_part_or_other_data_does_not_count(
    changed: dict[str, Any],
) -> None:
    record(evaluation(**changed))
    assert "test/accuracy" not in gathered().metrics


def test_two_files_of_one_step_hold_the_same_weights() -> None:
    checkpoint(BEST, 1, 10, 0.75)
    record(evaluation(LAST))
    assert describe_checkpoint(BEST)["sha256"] != describe_checkpoint(LAST)["sha256"]
    assert gathered().metrics["test/accuracy"] == 0.625
    # But not a file that the run did not write.
    torch.save({"epoch": 1, "global_step": 10}, "mine.ckpt")
    assert "test/accuracy" not in gathered(Path("mine.ckpt")).metrics


def test_a_checkpoint_of_another_run_is_described_by_the_given_configuration() -> None:
    checkpoint(Path("mine.ckpt"), 3, 20, 0.875)
    facts = gathered(Path("mine.ckpt"))
    assert facts.source.endswith("run.json does not list this checkpoint")
    assert (temperature(facts), facts.fit) == (9.0, None)
    assert facts.data == DATA
    # What the file itself holds, and nothing about its teacher.
    assert facts.metrics == {"val/accuracy": 0.875}
    assert facts.teachers[0].sha256 is None


def test_a_run_of_an_earlier_version_has_no_record() -> None:
    Path("run/run.json").unlink()
    torch.save({"epoch": 0, "global_step": 5, "callbacks": {}}, BEST)
    facts = gathered()
    assert "no record of the training" in facts.source
    assert (temperature(facts), facts.metrics, facts.fit) == (9.0, {}, None)
    assert facts.checkpoint == "`best.ckpt`, after 1 epoch, 5 steps"


def test_its_evaluation_today_counts() -> None:
    torch.save({"epoch": 0, "global_step": 5, "callbacks": {}}, BEST)
    content = {"version": 1, "fit": None, "checkpoints": {}, "evaluations": [evaluation()]}
    Path("run/run.json").write_text(json.dumps(content))
    assert gathered().metrics == {"test/accuracy": 0.625}
    assert "no record of the training" in gathered().source


def test_a_run_that_has_not_finished_is_described_as_such() -> None:
    checkpoint(BEST, 2, 15, 0.875)  # since the record was written
    content = {"version": 1, "fit": FIT | {"finished": None}, "checkpoints": {}, "evaluations": []}
    Path("run/run.json").write_text(json.dumps(content))
    facts = gathered()
    assert facts.source.endswith("the run had not finished")
    assert (temperature(facts), facts.metrics) == (2.0, {"val/accuracy": 0.875})
    # A file from elsewhere is not taken for one of this run.
    checkpoint(Path("mine.ckpt"), 2, 15, 0.875)
    assert temperature(gathered(Path("mine.ckpt"))) == 9.0


def test_a_plain_state_dict_has_no_metrics() -> None:
    torch.save({"fc.weight": torch.ones(1)}, "mine.ckpt")
    facts = gathered(Path("mine.ckpt"))
    assert facts.metrics == {}
    assert "does not state how long" in facts.checkpoint


def test_no_folder_of_this_machine_is_stated() -> None:
    config = copy.deepcopy(CONFIG)
    arguments = config["model"]["init_args"]
    arguments["teachers"]["audio"]["init_args"]["checkpoint"] = "/home/me/t.ckpt"
    arguments["criterion"]["init_args"] = {"prior": "/home/me/prior.pt"}
    config["data"]["init_args"] |= {"table": "/home/me/pairs.csv", "recipes": {"a": {"x": None}}}
    checkpoint(Path("mine.ckpt"), 3, 20, 0.875)
    facts = gather_facts(config, Path("run"), Path("mine.ckpt"), ["root"])
    assert facts.teachers[0].checkpoint == "t.ckpt"
    assert facts.criterion is not None
    assert facts.criterion["init_args"] == {"prior": "prior.pt"}
    assert facts.data["init_args"] == {"noise": 0.5, "table": "pairs.csv"}


def test_a_teacher_without_a_checkpoint_and_a_run_without_teachers() -> None:
    config = copy.deepcopy(CONFIG)
    config["model"]["init_args"]["teachers"] = {"audio": {"class_path": "mine.Net"}}
    record(config=config)
    [teacher] = gathered().teachers
    assert (teacher.network, teacher.checkpoint) == ("mine.Net", None)
    config["model"] = {"class_path": "fdkd_lightning.UnimodalModule", "init_args": {}}
    record(config=config)
    facts = gathered()
    assert facts.teachers == ()
    assert facts.criterion is None
