import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up_run import checkpoint, log_rows, record, write_log, write_run

from fdkd_lightning.analysis.confusion import confusion_matrix
from fdkd_lightning.report.class_scores import class_rows, confusions
from fdkd_lightning.report.prediction_file import Predictions
from fdkd_lightning.report.run_files import RunFiles, read_run_files
from fdkd_lightning.report.run_page import write_run_page
from fdkd_lightning.report.run_text import (
    CAUTION,
    agreement_sentence,
    calibration_sentence,
    class_sentences,
    divergence_sentences,
    run_sentences,
    setting_text,
)


def changed(folder: Path, **changes: Any) -> RunFiles:
    """The facts of a run whose record has other entries."""
    write_run(folder)
    (folder / "run.json").write_text(json.dumps(record() | changes))
    return read_run_files(folder)


def test_the_answer_is_that_of_the_record(tmp_path: Path) -> None:
    facts = read_run_files(write_run(tmp_path))
    assert run_sentences(facts) == [
        "Trained for 4 epochs, 40 steps, in 12.5 s on cpu, precision 32-true, ranks: 1.",
        "Epoch 1 (counted from 0) has the highest val/accuracy, 0.7500; the last epoch, 3, has "
        "0.6250. Chosen by this value, it is optimistic; test data judge.",
        "Test of best.ckpt (epoch 1): test/accuracy 0.7500, test/loss 1.5000.",
        CAUTION,
    ]
    assert setting_text(facts.config) == (
        "DistillationModule; criterion FDKDLoss; student audio; teachers visual; data Data."
    )
    other = {"class_path": "mine.Module", "init_args": {"teachers": 3, "modality": 1}}
    assert setting_text({"model": other}) == "Module."
    assert setting_text(None) == "The configuration is not known."


def test_the_chosen_epoch_is_the_best_of_the_curves_table(tmp_path: Path) -> None:
    write_run_page(write_run(tmp_path))
    with (tmp_path / "report/curves.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["name"] == "val/accuracy"]
    best = max(rows, key=lambda row: float(row["value"]))
    sentence = run_sentences(read_run_files(tmp_path))[1]
    assert sentence.startswith(
        f"Epoch {best['epoch']} (counted from 0) has the highest val/accuracy, "
        f"{float(best['value']):.4f}; the last epoch, {rows[-1]['epoch']}, has "
        f"{float(rows[-1]['value']):.4f}."
    )


def test_the_last_epoch_being_the_best_is_said(tmp_path: Path) -> None:
    best = checkpoint("best", 3)
    facts = changed(tmp_path, checkpoints={"best": best, "last": checkpoint("last", 3)})
    assert (
        "it is the last: that longer training would not help is not shown"
        in (run_sentences(facts)[1])
    )


def test_a_part_of_the_validation_set_is_said(tmp_path: Path) -> None:
    best = checkpoint("best", 1)
    best["validation"]["whole_split"] = False
    facts = changed(tmp_path, checkpoints={"best": best})
    assert run_sentences(facts)[1].startswith(
        "Epoch 1 (counted from 0) has the highest val/accuracy, 0.7500 on a part of the "
        "validation set. Chosen"
    )


def test_a_run_that_has_not_finished_is_no_finished_run(tmp_path: Path) -> None:
    fit = record()["fit"] | {"finished": None, "epochs": None, "steps": None, "seconds": None}
    facts = changed(tmp_path, fit=fit, checkpoints={}, evaluations=[])
    assert run_sentences(facts)[:3] == [
        "Training has not finished: it runs or was killed; the log ends at step 39. Started on "
        "cpu, precision 32-true, ranks: 1.",
        "val/accuracy was 0.6250 at the last validation so far; checkpoints are recorded when the "
        "training has finished.",
        "It has not been tested.",
    ]


def test_a_run_without_validation_chose_no_epoch(tmp_path: Path) -> None:
    last = checkpoint("last", 3) | {"validation": None}
    (tmp_path / "run.json").write_text(json.dumps(record() | {"checkpoints": {"last": last}}))
    write_log(tmp_path, 0, log_rows(validated=False))
    assert run_sentences(read_run_files(tmp_path))[1] == (
        "No validation is recorded: no epoch was chosen, and overfitting is not shown."
    )


def test_without_a_record_nothing_is_claimed(tmp_path: Path) -> None:
    write_log(tmp_path, 0, log_rows())
    assert run_sentences(read_run_files(tmp_path))[:3] == [
        "How it was trained is not recorded: the folder has no run.json of a fit.",
        "It was validated, but no best checkpoint is recorded: no epoch was chosen.",
        "It has not been tested.",
    ]


def test_tests_of_other_weights_data_and_parts_are_marked(tmp_path: Path) -> None:
    [test] = record()["evaluations"]
    foreign = checkpoint("best", 1) | {"sha256": "another"}
    facts = changed(
        tmp_path,
        evaluations=[
            test,
            test | {"checkpoint": foreign},
            test | {"checkpoint": None, "whole_split": False, "data": {"class_path": "other"}},
            test | {"metrics": {"test/accuracy": 0.5}},  # the same weights once more
        ],
    )
    assert run_sentences(facts)[2:-1] == [
        "Test of best.ckpt (epoch 1): test/accuracy 0.5000.",
        "Test of best.ckpt (epoch 1), which this training did not write: test/accuracy 0.7500, "
        "test/loss 1.5000.",
        "Test of weights in memory, on a part of the test split, on other data than it was "
        "trained on: test/accuracy 0.7500, test/loss 1.5000.",
    ]


def test_of_a_fit_that_a_signal_ended_no_checkpoint_is_denied(tmp_path: Path) -> None:
    unfinished = record()["fit"] | {"finished": None}
    assert run_sentences(changed(tmp_path, fit=unfinished, checkpoints={}))[:-1] == [
        "Training has not finished: it runs or was killed; the log ends at step 39. Started on "
        "cpu, precision 32-true, ranks: 1.",
        "val/accuracy was 0.6250 at the last validation so far; checkpoints are recorded when the "
        "training has finished.",
        "Test of best.ckpt (epoch 1): test/accuracy 0.7500, test/loss 1.5000.",
    ]


def test_values_that_are_not_finite_are_named(tmp_path: Path) -> None:
    assert divergence_sentences(read_run_files(write_run(tmp_path))) == [
        "train/low is nan first at step 29: the curve has a gap there."
    ]


def test_sentences_on_classes(tmp_path: Path) -> None:
    facts = read_run_files(write_run(tmp_path))
    predictions = facts.predictions
    assert isinstance(predictions, Predictions)
    matrix = confusion_matrix(predictions.predicted, predictions.label, len(predictions.names))
    rows = class_rows(predictions.names, matrix)
    assert class_sentences(predictions, rows, confusions(predictions.names, matrix)) == [
        "3 of 4 labelled predictions are right (75.0 %).",
        "Of the classes cat (100.0 % of 2) is predicted best, dog (50.0 % of 2) worst.",
        "The most frequent confusion: dog taken for fish (1 of 2).",
        "Classes without a labelled sample: 1 of 3.",
        "Further samples without a label: 1.",
    ]
    assert agreement_sentence(facts, predictions) == (
        "Their accuracy is that of the test of best.ckpt (epoch 1)."
    )
    other = predictions._replace(predicted=predictions.label)
    assert agreement_sentence(facts, other).endswith("no recorded test has the same accuracy.")


@pytest.mark.parametrize(("labels", "flagged"), [([0, 1, 1, 1], True), ([1, 1, 1, 1], False)])
def test_a_constant_prediction_is_flagged_where_labels_differ(
    tmp_path: Path, labels: list[int], flagged: bool
) -> None:
    facts = read_run_files(write_run(tmp_path))
    shares = torch.tensor([[0.25, 0.75]]).expand(4, 2)
    found = Predictions(["cat", "dog"], torch.tensor(labels), shares.argmax(1), shares, 0)
    sentence = (
        "All 4 labelled predictions are one class (dog), at chance: the accuracy, 75.0 %, is that "
        "class's share."
    )
    assert (sentence in run_sentences(replace(facts, predictions=found))) is flagged


@pytest.mark.parametrize(
    ("confidence", "relation", "verdict"),
    [
        (0.9, "is above", "overconfident"),
        (0.6, "is below", "underconfident"),
        (0.7503, "equals", "neither over- nor underconfident"),
    ],
)
def test_the_direction_of_the_calibration_error(
    confidence: float, relation: str, verdict: str
) -> None:
    shares = torch.tensor([[confidence, 1 - confidence]]).expand(4, 2)
    label = torch.tensor([0, 0, 0, 1])
    found = Predictions(["a", "b"], label, shares.argmax(1), shares, 0)
    error = abs(confidence - 0.75)
    assert calibration_sentence(found, error) == (
        f"Expected calibration error {100 * error:.1f} points (15 bins). The mean confidence, "
        f"{100 * confidence:.1f} %, {relation} the accuracy, 75.0 %: on average the network is "
        f"{verdict}."
    )
