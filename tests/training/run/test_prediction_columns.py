import math

import pytest
import torch

from fdkd_lightning.losses import MultiLabelTask, OneClassTask, RegressionTask
from fdkd_lightning.training.run.prediction_columns import (
    ClassColumns,
    LabelColumns,
    ValueColumns,
    columns_of,
    predicted_by,
)


def test_each_task_has_its_columns() -> None:
    kinds = [type(columns_of(task(), ["a"])) for task in (OneClassTask, MultiLabelTask)]
    assert kinds == [ClassColumns, LabelColumns]
    assert type(columns_of(RegressionTask(), ["a"])) is ValueColumns


def test_labels_are_known_where_there_is_one() -> None:
    assert [ClassColumns(["a", "b"]).knows(x) for x in (0, 1, 2, -100, None)] == [
        *(True, True, False, False, False)
    ]
    for missing in (None, math.nan, [math.nan, math.nan]):
        assert not ValueColumns(["a", "b"]).knows(missing)
        assert not LabelColumns(["a", "b"]).knows(missing)
    assert not LabelColumns(["a", "b"]).knows([-100, math.nan])
    assert ValueColumns(["a"]).knows(-100.0)
    assert LabelColumns(["a", "b"]).knows([-100, 0])


def test_the_rows_of_samples_without_a_label_have_empty_cells() -> None:
    assert ValueColumns(["x", "y"]).cells([1.0, -2.5], None, True) == ["", "", "1", "-2.5"]
    assert ValueColumns(["x"]).cells([1e-7], math.nan, True) == ["", "1e-07"]
    assert LabelColumns(["a", "b"]).cells([0.5, 0.2], [-100, 1], True)[:3] == ["", "1", "a"]
    assert LabelColumns(["a"]).cells([0.1], None, False) == ["", "0.100000"]


def test_maps_are_averaged_over_pixels_and_have_classes_in_segmentation_alone() -> None:
    logits = torch.randn(2, 3, 4, 5)
    segmented = predicted_by(OneClassTask(), logits)
    assert torch.equal(segmented["classes"], logits.argmax(1))
    for task, name in ((MultiLabelTask(), "probabilities"), (RegressionTask(), "values")):
        predicted = predicted_by(task, logits)
        assert list(predicted) == [name]
        expected = task.predict(logits).mean((2, 3))
        torch.testing.assert_close(predicted[name], expected)
    assert predicted_by(MultiLabelTask(), torch.zeros(1, 2))["probabilities"].tolist() == [
        pytest.approx([0.5, 0.5])
    ]
