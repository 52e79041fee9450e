"""Accuracy of each class, and the most frequent confusions, as CSV tables of a page."""

import functools
from typing import NamedTuple

from scipy.stats import binomtest
from torch import Tensor

from fdkd_lightning.analysis.confusion import Confusion, confused_pairs

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


@functools.cache
def _interval(right: int, samples: int) -> tuple[float, float, float]:
    if not samples:
        return (float("nan"),) * 3
    ends = binomtest(right, samples).proportion_ci(method="wilson")
    return 100 * right / samples, 100 * float(ends.low), 100 * float(ends.high)
