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
    found: Tensor = x.detach().double()
    return found


def check_paired(x: Any, y: Any, names: tuple[str, str] = ("x", "y")) -> tuple[Tensor, Tensor]:
    """Return features of two modalities in float64; raise unless they have one row per pair.

    Shape:
        - x: [N, D]
        - y: [N, D'], another width or the same
    """
    pair = check_features(names[0], x), check_features(names[1], y)
    if len(x) != len(y):
        raise ValueError(
            f"{names[0]} has shape {list(x.shape)}, {names[1]} {list(y.shape)}: give one row of "
            "each for each pair"
        )
    return pair


def check_groups(name: str, label: Any, rows: int, where: str) -> Tensor:
    """Return the number 0, 1, ... of each row's class or group; raise if a row has none.

    Shape:
        - label, output: [N] int64

    Example:
        >>> import torch
        >>> check_groups("label", torch.tensor([7, 3, 7]), 3, "x of shape [3, 8]")
        tensor([1, 0, 1])
    """
    check_labels(name, label, (rows,), where)
    if (label == IGNORE_INDEX).any():
        raise ValueError(
            f"{name} holds {int(label.min())}, no label, among {rows} rows: leave those rows out"
        )
    numbers: Tensor = label.unique(return_inverse=True)[1]
    return numbers
