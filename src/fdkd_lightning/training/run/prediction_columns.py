"""Columns of a table of predictions, by task."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.multi_label import MultiLabelTask
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.losses.tasks.regression import RegressionTask
from fdkd_lightning.types import IGNORE_INDEX


class Columns(ABC):
    """Columns of a table of predictions: the labels if they are known, and what is predicted.

    Args:
        names: Names of the K outputs.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = [*names]

    @abstractmethod
    def knows(self, label: Any) -> bool:
        """Whether a sample has a label; None: the batch had none."""

    @abstractmethod
    def header(self, labelled: bool) -> list[str]:
        """Return the names of the columns, with those of labels if some are known."""

    @abstractmethod
    def cells(self, predicted: list[float], label: Any, labelled: bool) -> list[str]:
        """Return the row of a sample."""


class ClassColumns(Columns):
    """Label, the most probable class, and a probability per class.

    Example:
        >>> columns = ClassColumns(["cat", "dog"])
        >>> columns.header(True), columns.cells([0.25, 0.75], 0, True)
        (['label', 'class', 'cat', 'dog'], ['cat', 'dog', '0.250000', '0.750000'])
    """

    def knows(self, label: Any) -> bool:
        """Whether it is one of the classes."""
        return isinstance(label, int) and 0 <= label < len(self.names)

    def header(self, labelled: bool) -> list[str]:
        """Return the names of the columns."""
        return [*(["label"] if labelled else []), "class", *self.names]

    def cells(self, predicted: list[float], label: Any, labelled: bool) -> list[str]:
        """Return the row of a sample."""
        known = [self.names[label] if self.knows(label) else ""] if labelled else []
        best = int(torch.tensor(predicted).argmax())
        return [*known, self.names[best], *(f"{p:.6f}" for p in predicted)]


class LabelColumns(Columns):
    """A label and a probability per class, and the classes from 0.5 on.

    Example:
        >>> columns = LabelColumns(["cat", "dog"])
        >>> columns.header(True)
        ['label cat', 'label dog', 'classes', 'cat', 'dog']
        >>> columns.cells([0.25, 0.75], [1.0, math.nan], True)
        ['1', '', 'dog', '0.250000', '0.750000']
    """

    def knows(self, label: Any) -> bool:
        """Whether one of its entries is known."""
        return any(_label_cells(label, 0, IGNORE_INDEX))

    def header(self, labelled: bool) -> list[str]:
        """Return the names of the columns."""
        known = [f"label {name}" for name in self.names] if labelled else []
        return [*known, "classes", *self.names]

    def cells(self, predicted: list[float], label: Any, labelled: bool) -> list[str]:
        """Return the row of a sample."""
        known = _label_cells(label, len(self.names), IGNORE_INDEX) if labelled else []
        there = [name for name, p in zip(self.names, predicted, strict=True) if p >= 0.5]
        return [*known, ";".join(there), *(f"{p:.6f}" for p in predicted)]


class ValueColumns(Columns):
    """A label and a predicted number per output.

    Example:
        >>> columns = ValueColumns(["x", "y"])
        >>> columns.header(True), columns.cells([1.5, 20000.0], [1.0, math.nan], True)
        (['label x', 'label y', 'x', 'y'], ['1', '', '1.5', '20000'])
    """

    def knows(self, label: Any) -> bool:
        """Whether one of its entries is known."""
        return any(_label_cells(label, 0))

    def header(self, labelled: bool) -> list[str]:
        """Return the names of the columns."""
        known = [f"label {name}" for name in self.names] if labelled else []
        return [*known, *self.names]

    def cells(self, predicted: list[float], label: Any, labelled: bool) -> list[str]:
        """Return the row of a sample."""
        known = _label_cells(label, len(self.names)) if labelled else []
        return [*known, *(f"{x:.9g}" for x in predicted)]


@singledispatch
def columns_of(task: Task, names: Sequence[str]) -> Columns:
    """Return the columns of a task; a task of your own has those of numbers.

    Args:
        task: What the labels mean.
        names: Names of the outputs.
    """
    return ValueColumns(names)


@columns_of.register
def _(task: OneClassTask, names: Sequence[str]) -> Columns:
    return ClassColumns(names)


@columns_of.register
def _(task: MultiLabelTask, names: Sequence[str]) -> Columns:
    return LabelColumns(names)


@columns_of.register
def _(task: RegressionTask, names: Sequence[str]) -> Columns:
    return ValueColumns(names)


def predicted_by(task: Task, logits: Tensor) -> dict[str, Tensor]:
    """Return what a network predicts: ``probabilities`` or ``values``, and ``classes`` of pixels.

    Shape:
        - logits: [N, K], [N, K, H, W] or [N]
        - probabilities, values: [N, K], means over the pixels
        - classes: [N, H, W]

    Example:
        >>> predicted_by(OneClassTask(), torch.zeros(1, 4))
        {'probabilities': tensor([[0.2500, 0.2500, 0.2500, 0.2500]])}
        >>> predicted_by(RegressionTask(), torch.tensor([2.5]))
        {'values': tensor([[2.5000]])}
    """
    predicted = task.predict(logits)
    name = "probabilities" if task.has_classes else "values"
    if predicted.ndim == 2:
        return {name: predicted}
    means = {name: predicted.flatten(2).mean(2)}
    is_segmentation = isinstance(task, OneClassTask)
    return means | {"classes": logits.argmax(1)} if is_segmentation else means


def _label_cells(label: Any, count: int, missing: float = math.nan) -> list[str]:
    """The entries of a label, empty where there is none."""
    if label is None:
        return [""] * count
    entries = label if isinstance(label, list) else [label]
    return ["" if math.isnan(x) or x == missing else f"{x:.9g}" for x in map(float, entries)]
