"""Confusion of classes: how often one is taken for another."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix


class Confusion(NamedTuple):
    """Number of samples of a class that are taken for another one."""

    label: str
    predicted: str
    samples: int


def confusion_matrix(predicted: Tensor, label: Tensor, classes: int) -> Tensor:
    """Return the number of samples per true (row) and predicted (column) class.

    Args:
        predicted: Predicted class of each sample.
        label: True class of each sample.
        classes: Number of classes.

    Shape:
        - predicted, label: [N] int64
        - output: [K, K] int64
    """
    counts: Tensor = multiclass_confusion_matrix(predicted, label, classes)
    return counts


def confused_pairs(names: Sequence[str], matrix: Tensor) -> list[Confusion]:
    """Return the entries of the matrix that are not 0, right ones too.

    Example:
        >>> import torch
        >>> confused_pairs(["cat", "dog"], torch.tensor([[3, 0], [1, 0]]))
        [Confusion(label='cat', predicted='cat', samples=3), Confusion(label='dog', \
predicted='cat', samples=1)]
    """
    places = matrix.nonzero().tolist()
    return [Confusion(names[i], names[j], int(matrix[i, j])) for i, j in places]
