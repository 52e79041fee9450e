"""Metrics of classification and segmentation if none are given."""

from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from fdkd_lightning.types import IGNORE_INDEX


def default_metrics(classes: int) -> dict[str, Metric]:
    """Return accuracy and macro-F1 over the labelled samples or pixels."""
    return {
        "accuracy": MulticlassAccuracy(classes, average="micro", ignore_index=IGNORE_INDEX),
        "macro_f1": MulticlassF1Score(classes, average="macro", ignore_index=IGNORE_INDEX),
    }
