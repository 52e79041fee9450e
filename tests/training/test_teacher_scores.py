from typing import Any

import pytest
import torch

from fdkd_lightning.losses import MultiLabelTask, RegressionTask
from fdkd_lightning.training.teacher_scores import TeacherScores


class Quiet:
    loggers: tuple[Any, ...] = ()


def test_the_metrics_are_those_of_all_batches() -> None:
    scores = TeacherScores(RegressionTask(), torch.device("cpu"))
    scores.update(torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, torch.nan]))
    scores.update(torch.tensor([[5.0]]), torch.tensor([2.0]))
    assert scores.report(Quiet(), "audio") == 2  # type: ignore[arg-type]


def test_independent_labels_are_scored_by_f1() -> None:
    scores = TeacherScores(MultiLabelTask(), torch.device("cpu"))
    # Of one label all is right, of the other one of two that are named.
    scores.update(torch.tensor([[3.0, 3.0], [-3.0, 3.0]]), torch.tensor([[1, 1], [0, 0]]))
    value = scores.report(Quiet(), "audio")  # type: ignore[arg-type]
    assert value == pytest.approx((1 + 2 / 3) / 2)


def test_outputs_that_do_not_fit_are_not_measured() -> None:
    scores = TeacherScores(RegressionTask(), torch.device("cpu"))
    scores.update(torch.zeros(2, 3), torch.zeros(2))
    scores.update(torch.zeros(2, 1), torch.zeros(2))
    assert scores.report(Quiet(), "audio") is None  # type: ignore[arg-type]
    assert TeacherScores(RegressionTask(), torch.device("cpu")).report(Quiet(), "a") is None  # type: ignore[arg-type]
