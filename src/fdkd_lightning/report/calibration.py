"""Calibration of predicted probabilities: the bins of a reliability diagram, and their error."""

import csv
from pathlib import Path
from typing import NamedTuple

import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from fdkd_lightning.ops.atomic_write import atomic_write
from fdkd_lightning.report.prediction_file import Predictions

BINS = 15


class Bin(NamedTuple):
    """Predictions of similar confidence, the probability of the predicted class.

    Args:
        low: Its least confidence.
        high: The next bin's; a confidence of exactly 1 has a bin of its own, as in torchmetrics.
        samples: Number of predictions.
        confidence: Their mean confidence.
        accuracy: Share of them that are right.
        share: Their share of all predictions.
    """

    low: float
    high: float
    samples: int
    confidence: float
    accuracy: float
    share: float


def calibration_bins(predictions: Predictions) -> list[Bin]:
    """Return the bins that hold predictions: 15 of equal width, and one of confidence 1."""
    confidence, predicted = predictions.probabilities.max(1)
    right = (predicted == predictions.label).double()
    edges = torch.linspace(0, 1, BINS + 1)
    places = torch.bucketize(confidence, edges, right=True) - 1
    found = []
    for number in sorted({*places.tolist()}):
        inside = places == number
        high = float(edges[number + 1]) if number < BINS else 1.0
        found.append(
            Bin(
                float(edges[number]),
                high,
                int(inside.sum()),
                float(confidence[inside].double().mean()),
                float(right[inside].mean()),
                int(inside.sum()) / len(right),
            )
        )
    return found


def calibration_error(predictions: Predictions) -> float:
    r"""Return the expected calibration error of 15 bins.

    .. math::
        \mathrm{ECE} = \sum_b \frac{n_b}{N} |\mathrm{accuracy}_b - \mathrm{confidence}_b|

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    value = multiclass_calibration_error(
        predictions.probabilities, predictions.label, len(predictions.names), BINS, "l1"
    )
    return float(value)


def write_bins(path: Path, bins: list[Bin]) -> None:
    """Write the bins as a CSV table."""
    with atomic_write(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Bin._fields)
        writer.writerows(bins)
