from typing import Any

import pytest
import yaml

from fdkd_lightning.export.card_run import results_section, training_section
from fdkd_lightning.export.run_facts import RunFacts, StudyScores, Teacher

DATA = {"class_path": "mine.Data", "init_args": {"size": 3}}
CRITERION = {"class_path": "fdkd_lightning.KDLoss", "init_args": {"temperature": 4.0}}
FIT: dict[str, Any] = {
    "seed": 3,
    "ranks": 2,
    "device": "NVIDIA H100",
    "precision": "32-true",
    "versions": {"python": "3.11", "torch": "2.14.1"},
    "commit": None,
    "coverage": None,
    "finished": "2026-01-01T00:00:00+00:00",
    "epochs": 3,
    "seconds": 12.5,
}


def facts(**more: Any) -> RunFacts:
    return RunFacts("run.json", DATA, "mine.Module", CRITERION, **more)


def training(**more: Any) -> str:
    return "\n\n".join(training_section(facts(**more)))


def test_the_training_states_data_method_teacher_and_weights() -> None:
    text = training(
        teachers=(Teacher("audio", "mine.Net", "teacher.ckpt", "ab12"),),
        checkpoint="`best.ckpt`, after 3 epochs, 12 steps",
    )
    blocks = [yaml.safe_load(b[5:]) for b in text.split("```")[1::2] if b.startswith("yaml\n")]
    assert blocks == [DATA, CRITERION]
    for words in (
        "Source: run.json.",
        "Method (`mine.Module`), with the labels' cross-entropy, weight 1:",
        "Teacher of modality audio: `mine.Net`, checkpoint `teacher.ckpt`, sha256 `ab12`.",
        "Weights: `best.ckpt`, after 3 epochs, 12 steps.",
    ):
        assert words in text
    assert "Run:" not in text


def test_other_methods_are_named() -> None:
    assert "without cross-entropy with the labels" in training(task_weight=None)
    alone = "\n".join(training_section(RunFacts("x", DATA, "mine.Module")))
    assert "cross-entropy with the labels alone (`mine.Module`)" in alone
    loss = {"class_path": "torch.nn.HuberLoss", "init_args": {"delta": 2.0}}
    text = training(task_loss=loss)
    assert "with the labels' task loss, weight 1:" in text
    assert "Task loss:\n\n```yaml\nclass_path: torch.nn.HuberLoss" in text
    assert "cross-entropy" not in text


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        (Teacher("audio", "mine.Net"), "the configuration names no checkpoint"),
        (Teacher("audio", "mine.Net", "t.ckpt"), "whose hash was not recorded"),
    ],
)
def test_what_is_not_known_of_a_teacher_is_stated(teacher: Teacher, words: str) -> None:
    text = training(teachers=(teacher,))
    assert words in text
    assert "sha256" not in text


def test_the_environment_is_that_of_the_record() -> None:
    text = training(fit=FIT)
    assert "Run: 3 epochs in 12.5 s, seed 3, 2 ranks, NVIDIA H100, precision 32-true." in text
    assert "Versions: python 3.11, torch 2.14.1." in text
    assert "Commit" not in text
    more: dict[str, Any] = {
        "finished": None,
        "ranks": 1,
        "commit": "ab12-dirty",
        "coverage": {"train": {"ok": 9, "missing": 1}},
    }
    text = training(fit=FIT | more)
    assert "Run: not finished, seed 3, 1 rank," in text
    assert "Commit of the working folder: `ab12-dirty`." in text
    assert "| train | ok 9, missing 1 |" in text


def results(**more: Any) -> str:
    return "\n\n".join(results_section(facts(**more)))


def test_the_results_are_the_metrics_or_none() -> None:
    assert "| test/accuracy | 0.6875 |" in results(metrics={"test/accuracy": 0.6875})
    assert "No metric is recorded for these weights." in results()


def test_a_studys_seeds_give_mean_and_standard_deviation() -> None:
    values = {0: 0.5, 1: 0.7, 2: 0.6}
    text = results(study=StudyScores("KD", "audio to visual", "few", "accuracy", "last", values))
    # Deviations -0.1, 0.1 and 0: squares sum to 0.02, over n - 1 = 2.
    assert "test accuracy 0.6000 ± 0.1000, n = 3 seeds (0, 1, 2)" in text
    assert "KD (audio to visual, few)" in text
    assert "weights of the last epoch" in text
    text = results(study=StudyScores("KD", "d", "r", "accuracy", "best", {4: 0.5}))
    assert "test accuracy 0.5000, n = 1 seed (4)" in text
    assert "best validation score" in text
