"""Calibration of predicted probabilities: the bins of a reliability diagram, and their error."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

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


def calibration_bins(probabilities: Tensor, label: Tensor) -> list[Bin]:
    """Return the bins that hold predictions: 15 of equal width, and one of confidence 1.

    Args:
        probabilities: Of each class.
        label: True class of each sample.

    Shape:
        - probabilities: [N, K]
        - label: [N] int64

    Example:
        >>> probabilities = torch.tensor([[0.75, 0.25], [0.25, 0.75], [1.0, 0.0]])
        >>> bins = calibration_bins(probabilities, torch.tensor([0, 0, 0]))
        >>> [(bin.samples, bin.confidence, bin.accuracy) for bin in bins]
        [(2, 0.75, 0.5), (1, 1.0, 1.0)]
    """
    confidence, predicted = probabilities.max(1)
    right = (predicted == label).double()
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


def calibration_error(probabilities: Tensor, label: Tensor) -> float:
    r"""Return the expected calibration error of 15 bins.

    .. math::
        \mathrm{ECE} = \sum_b \frac{n_b}{N} |\mathrm{accuracy}_b - \mathrm{confidence}_b|

    Args:
        probabilities: Of each class.
        label: True class of each sample.

    Shape:
        - probabilities: [N, K]
        - label: [N] int64

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    value = multiclass_calibration_error(probabilities, label, probabilities.shape[1], BINS, "l1")
    return float(value)
