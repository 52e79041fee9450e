"""Metrics of classification and segmentation if none are given."""

from torchmetrics import Metric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MulticlassJaccardIndex,
)

from fdkd_lightning.types import IGNORE_INDEX


def default_metrics(classes: int, per_pixel: bool = False) -> dict[str, Metric]:
    """Return accuracy and macro-F1, or for segmentation pixel and class accuracy and mean IoU.

    Unlabelled samples and pixels take no part. Mean IoU and class accuracy are means over the
    classes that occur in labels or predictions.

    Args:
        classes: Number of classes K.
        per_pixel: Whether each pixel has a class.

    Example:
        >>> list(default_metrics(10)), list(default_metrics(10, per_pixel=True))
        (['accuracy', 'macro_f1'], ['accuracy', 'class_accuracy', 'mean_iou'])
    """
    accuracy = MulticlassAccuracy(classes, average="micro", ignore_index=IGNORE_INDEX)
    if per_pixel:
        return {
            "accuracy": accuracy,
            "class_accuracy": MulticlassAccuracy(
                classes, average="macro", ignore_index=IGNORE_INDEX
            ),
            "mean_iou": MulticlassJaccardIndex(classes, ignore_index=IGNORE_INDEX),
        }
    macro_f1 = MulticlassF1Score(classes, average="macro", ignore_index=IGNORE_INDEX)
    return {"accuracy": accuracy, "macro_f1": macro_f1}
