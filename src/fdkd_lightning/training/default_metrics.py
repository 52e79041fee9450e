"""Metrics of a task if none are given."""

from functools import singledispatch

from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric
from torchmetrics.classification import (
    BinaryAveragePrecision,
    BinaryF1Score,
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassJaccardIndex,
    MultilabelAveragePrecision,
    MultilabelF1Score,
)

from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.multi_label import MultiLabelTask
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.losses.tasks.regression import RegressionTask
from fdkd_lightning.types import IGNORE_INDEX


@singledispatch
def default_metrics(task: Task, outputs: int, per_pixel: bool = False) -> dict[str, Metric]:
    """Return the metrics of a task; none for one of your own. Missing labels take no part.

    - One class per sample: accuracy and macro-F1; for segmentation pixel and class accuracy and
      mean IoU, means over the classes that occur in labels or predictions.
    - Independent labels: F1 and average precision, means over the labels; for maps F1 alone, since
      average precision keeps every prediction.
    - Numbers: mean absolute error and root mean squared error, over all outputs.

    Args:
        task: What the labels mean.
        outputs: Number of outputs K.
        per_pixel: Whether each pixel has a label.

    Example:
        >>> task = OneClassTask()
        >>> list(default_metrics(task, 10)), list(default_metrics(task, 10, per_pixel=True))
        (['accuracy', 'macro_f1'], ['accuracy', 'class_accuracy', 'mean_iou'])
        >>> list(default_metrics(MultiLabelTask(), 10)), list(default_metrics(RegressionTask(), 1))
        (['macro_f1', 'average_precision'], ['mae', 'rmse'])
    """
    return {}


@default_metrics.register
def _(task: OneClassTask, outputs: int, per_pixel: bool = False) -> dict[str, Metric]:
    accuracy = MulticlassAccuracy(outputs, average="micro", ignore_index=IGNORE_INDEX)
    if per_pixel:
        return {
            "accuracy": accuracy,
            "class_accuracy": MulticlassAccuracy(
                outputs, average="macro", ignore_index=IGNORE_INDEX
            ),
            "mean_iou": MulticlassJaccardIndex(outputs, ignore_index=IGNORE_INDEX),
        }
    macro_f1 = MulticlassF1Score(outputs, average="macro", ignore_index=IGNORE_INDEX)
    return {"accuracy": accuracy, "macro_f1": macro_f1}


@default_metrics.register
def _(task: MultiLabelTask, outputs: int, per_pixel: bool = False) -> dict[str, Metric]:
    f1: Metric
    precision: Metric
    if outputs == 1:  # torchmetrics has no multi-label metric of one label
        f1 = BinaryF1Score(ignore_index=IGNORE_INDEX)
        precision = BinaryAveragePrecision(ignore_index=IGNORE_INDEX)
    else:
        f1 = MultilabelF1Score(outputs, ignore_index=IGNORE_INDEX)
        precision = MultilabelAveragePrecision(outputs, ignore_index=IGNORE_INDEX)
    return {"macro_f1": f1} if per_pixel else {"macro_f1": f1, "average_precision": precision}


@default_metrics.register
def _(task: RegressionTask, outputs: int, per_pixel: bool = False) -> dict[str, Metric]:
    return {"mae": MeanAbsoluteError(), "rmse": MeanSquaredError(squared=False)}
