"""Read ``predictions.csv``, which ``fdkd predict`` writes, for one class per sample."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fdkd_lightning.files.read_file import csv_rows

AGAIN = "run fdkd predict again"


class Predictions(NamedTuple):
    """Labelled predictions of one class per sample.

    Args:
        names: Names of the K classes.
        label: True class of each sample.
        predicted: Predicted class.
        probabilities: Of each class; of none, [N, 0], if they were not asked for.
        unlabelled: Number of further samples, without a label.

    Shape:
        - label, predicted: [N] int64
        - probabilities: [N, K] float32
    """

    names: list[str]
    label: Tensor
    predicted: Tensor
    probabilities: Tensor
    unlabelled: int

    @property
    def accuracy(self) -> float:
        """Share of the predictions that are right."""
        return float((self.label == self.predicted).double().mean())

    @property
    def has_names(self) -> bool:
        """Whether the classes have names, and not numbers alone."""
        return self.names != [str(number) for number in range(len(self.names))]


def read_predictions(path: Path, probabilities: bool = True) -> Predictions | str:
    r"""Read a table of predictions.

    Args:
        path: The file.
        probabilities: Whether to read them, which takes most of the time.

    Returns:
        The predictions; or, if it holds other ones, what it holds, in words.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or two classes have the same name.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "predictions.csv")
        >>> _ = path.write_text("index,label,class,cat,dog\n0,dog,cat,0.75,0.25\n")
        >>> read_predictions(path).label, read_predictions(path).accuracy
        (tensor([1]), 0.0)
    """
    lines = csv_rows(path)
    _, header = next(lines, (1, []))
    if header[:1] != ["index"]:
        raise ValueError(f"{path} must begin with the column index: {AGAIN}")
    start = 2 if header[1:2] == ["id"] else 1
    if header[start : start + 2] != ["label", "class"]:
        if header[start : start + 1] == ["class"]:
            return "predictions of samples without labels"
        return "predictions of independent labels or of numbers, not of one class per sample"
    names = header[start + 2 :]
    if len(names) < 2:
        return "predictions of a single class"
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(
            f"{path} has two classes {repeated!r}: give each class_name of the data once, and "
            f"{AGAIN}"
        )
    numbers = {name: number for number, name in enumerate(names)}
    label, predicted, rows, unlabelled = [], [], [], 0
    for line, cells in lines:
        try:
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells for {len(header)} columns")
            if not cells[start]:
                unlabelled += 1
                continue
            label.append(numbers[cells[start]])
            predicted.append(numbers[cells[start + 1]])
            rows.append(_probabilities(cells[start + 2 :] if probabilities else []))
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path}, line {line}: {str(error)[:80]}: {AGAIN}") from error
    if not label:
        return "predictions of samples without labels"
    return Predictions(
        names, torch.tensor(label), torch.tensor(predicted), torch.stack(rows), unlabelled
    )


def _probabilities(cells: list[str]) -> Tensor:
    values = torch.tensor([*map(float, cells)])
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("a probability is not between 0 and 1")
    return values
