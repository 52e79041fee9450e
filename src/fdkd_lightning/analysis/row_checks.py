"""Checks of the features that statistics are computed from."""

from typing import Any

from torch import Tensor

from fdkd_lightning.ops.tensor_checks import check_labels, check_tensor
from fdkd_lightning.types import IGNORE_INDEX


def check_features(name: str, x: Any) -> Tensor:
    """Return features in float64; raise unless they are finite [N, D] with values.

    Args:
        name: Name of the argument, for the error.
        x: The features.

    Shape:
        - x, output: [N, D]

    Raises:
        TypeError: If the value is no tensor.
        ValueError: If it has another dtype or shape, no values, or some that are not finite.

    Example:
        >>> import torch
        >>> check_features("x", torch.zeros(2, 0))
        Traceback (most recent call last):
        ValueError: x has shape [2, 0], no values: give at least one row and one feature
    """
    check_tensor(name, x, "[N, D]", 2)
    if not x.numel():
        raise ValueError(
            f"{name} has shape {list(x.shape)}, no values: give at least one row and one feature"
        )
    bad = int((~x.isfinite()).sum())
    if bad:
        raise ValueError(
            f"{name} has shape {list(x.shape)}, with {bad} values that are NaN or infinite: check "
            "the network's weights and its input"
        )
    return x.detach().double()


def check_paired(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Return features ``x`` and ``y`` in float64; raise unless row i of one belongs to row i.

    Shape:
        - x: [N, D]
        - y: [N, D'], another width or the same
    """
    x, y = check_features("x", x), check_features("y", y)
    if len(x) != len(y):
        raise ValueError(
            f"x has shape {list(x.shape)}, y {list(y.shape)}: give one row of each for each pair"
        )
    return x, y


def check_groups(name: str, label: Any, rows: int) -> Tensor:
    """Return the number 0, 1, ... of each row's class or group; raise if a row has none.

    Shape:
        - label, output: [N] int64

    Example:
        >>> import torch
        >>> check_groups("label", torch.tensor([7, 3, 7]), 3)
        tensor([1, 0, 1])
    """
    check_labels(name, label, (rows,), f"{rows} rows")
    if (label == IGNORE_INDEX).any():
        raise ValueError(
            f"{name} holds {int(label.min())}, no label, among {rows} rows: leave those rows out"
        )
    return label.unique(return_inverse=True)[1]
