"""Confusion of classes, and the accuracy of each, as CSV tables and figures of a page."""

import functools
from typing import NamedTuple

from scipy.stats import binomtest
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from fdkd_lightning.report.prediction_file import Predictions

MOST_CLASSES = 30
"""Of more classes the page shows the most frequent confusions instead of the matrix."""


class ClassRow(NamedTuple):
    """The accuracy of a class.

    Args:
        name: Its name.
        samples: Samples of the class.
        right: Those that are predicted as it.
        predicted: Samples that are predicted as it.
        accuracy: Share of its samples that are right, in percent; nan without samples.
        low: Lower end of the 95 % interval (Wilson's) in percent; nan without samples.
        high: Upper end.
    """

    name: str
    samples: int
    right: int
    predicted: int
    accuracy: float
    low: float
    high: float


class Confusion(NamedTuple):
    """Number of samples of a class that are taken for another one."""

    label: str
    predicted: str
    samples: int


def confusion_matrix(predictions: Predictions) -> Tensor:
    """Return the number of samples per true (row) and predicted (column) class.

    Shape:
        - Output: [K, K] int64
    """
    counts: Tensor = multiclass_confusion_matrix(
        predictions.predicted, predictions.label, len(predictions.names)
    )
    return counts


def class_rows(names: list[str], matrix: Tensor) -> list[ClassRow]:
    """Return a row per class, in their order."""
    samples, predicted = matrix.sum(1).tolist(), matrix.sum(0).tolist()
    right = matrix.diag().tolist()
    return [
        ClassRow(name, n, k, p, *_interval(k, n))
        for name, n, k, p in zip(names, samples, right, predicted, strict=True)
    ]


def confusions(names: list[str], matrix: Tensor) -> list[Confusion]:
    """Return the classes that are taken for others, the most frequent first."""
    found = [pair for pair in confused_pairs(names, matrix) if pair.label != pair.predicted]
    return sorted(found, key=lambda confusion: -confusion.samples)


def confused_pairs(names: list[str], matrix: Tensor) -> list[Confusion]:
    """Return the entries of the matrix that are not 0, right ones too."""
    places = matrix.nonzero().tolist()
    return [Confusion(names[i], names[j], int(matrix[i, j])) for i, j in places]


@functools.cache
def _interval(right: int, samples: int) -> tuple[float, float, float]:
    if not samples:
        return (float("nan"),) * 3
    ends = binomtest(right, samples).proportion_ci(method="wilson")
    return 100 * right / samples, 100 * float(ends.low), 100 * float(ends.high)
