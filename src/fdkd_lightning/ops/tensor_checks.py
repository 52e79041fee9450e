"""Checks of tensors that cost no synchronisation with a GPU."""

from typing import Any

import torch
from torch import Tensor, nn

from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.types import IGNORE_INDEX


def check_tensor(name: str, x: Any, shape: str, *ndims: int) -> None:
    """Raise unless the value is a real floating-point tensor of an allowed number of dimensions.

    Args:
        name: Name of the argument, for the error.
        x: The value.
        shape: The allowed shapes, for the error: ``"[N, D]"``.
        ndims: The allowed numbers of dimensions; none: any number of at least 1.

    Raises:
        TypeError: If the value is no tensor.
        ValueError: If it has another dtype or number of dimensions.

    Example:
        >>> check_tensor("maps", torch.zeros(2, 3, 4, 4), "[N, C, H, W]", 4)
        >>> check_tensor("maps", torch.zeros(2, 3), "[N, C, H, W]", 4)
        Traceback (most recent call last):
        ValueError: maps has shape [2, 3]: give [N, C, H, W]
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is of type {type(x).__name__}: give a tensor {shape}")
    if not x.is_floating_point():
        raise ValueError(f"{name} has dtype {x.dtype}: give floating-point values {shape}")
    if x.ndim not in ndims if ndims else not x.ndim:
        raise ValueError(f"{name} has shape {list(x.shape)}: give {shape}")


def check_module(name: str, model: Any) -> None:
    """Raise unless the value is a network.

    Args:
        name: Name of the argument, for the error.
        model: The value.

    Raises:
        TypeError: If it is no ``torch.nn.Module``.

    Example:
        >>> check_module("model", "resnet18")
        Traceback (most recent call last):
        TypeError: model='resnet18' is of type str: give a torch.nn.Module
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"{name}={model!r:.60} is of type {type(model).__name__}: give a torch.nn.Module"
        )


def check_labels(name: str, labels: Any, size: tuple[int, ...], where: str) -> None:
    """Raise unless the value is an int64 tensor of one class per sample, or per pixel."""
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64:
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"{name} is {kind}: give an int64 tensor of classes, {list(size)}")
    if labels.shape != size:
        raise ValueError(
            f"{name} has shape {list(labels.shape)}, which does not fit {where}: give one class "
            f"each, {list(size)}"
        )


def check_has_classes(logits: Tensor) -> None:
    """Raise unless logits are scores of at least two classes.

    The softmax of a single one is 1, whatever the network says: its cross-entropy and its
    divergences are 0, and its correlations undefined.

    Example:
        >>> check_has_classes(torch.zeros(2, 0))
        Traceback (most recent call last):
        ValueError: logits of shape [2, 0] have no class: give at least two
        >>> check_has_classes(torch.zeros(2, 1))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: logits of shape [2, 1] have a single class, whose softmax is always 1: ...
    """
    if not logits.shape[1]:
        raise ValueError(f"logits of shape {list(logits.shape)} have no class: give at least two")
    if logits.shape[1] == 1:
        raise ValueError(
            f"logits of shape {list(logits.shape)} have a single class, whose softmax is always 1: "
            "give two classes, or state another task, task_loss=BCEWithLogitsLoss() or MSELoss()"
        )


def check_classes(name: str, labels: Tensor, classes: Tensor | int) -> None:
    """Raise unless all labels are classes or -100. It reads values: not for each training step.

    Args:
        name: Name of the labels, for the error.
        labels: The labels.
        classes: Number of classes, or the logits of which each is one.

    Example:
        >>> check_classes("target", torch.tensor([0, -100]), 3)
        >>> check_classes("target", torch.tensor([0, 3]), 3)
        Traceback (most recent call last):
        ValueError: target ranges from 0 to 3, but the model has num_classes=3 (0..2; -100: no \
label): set num_classes to that of the data
    """
    count, whose = classes, "the model has"
    if isinstance(classes, Tensor):
        count, whose = classes.shape[1], f"logits {list(classes.shape)} have"
    found = labels[labels != IGNORE_INDEX]
    if found.numel() and (found.min() < 0 or found.max() >= count):
        whose = (
            "the model has" if isinstance(classes, int) else f"logits {list(classes.shape)} have"
        )
        raise ValueError(
            f"{name} ranges from {int(found.min())} to {int(found.max())}, but {whose} "
            f"num_classes={count} (0..{count - 1}; -100: no label): set num_classes to that of "
            "the data"
        )


def check_axis(name: str, dim: int, x: Tensor) -> None:
    """Raise unless a tensor has the axis, and at least one value along it."""
    check_count(name, dim, None, example=1)
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(
            f"{name}={dim} is no axis of a tensor of shape {list(x.shape)}: choose from "
            f"{-x.ndim} to {x.ndim - 1}"
        )
    if not x.shape[dim] and x.shape.count(0) == 1:
        raise ValueError(
            f"a tensor of shape {list(x.shape)} has no values along {name}={dim}: give at least one"
        )


def check_on_cpu(fits: Tensor, message: str) -> None:
    """Raise unless a condition on values holds; on a GPU, or in compiled code, do nothing.

    Reading a value from a GPU would stop the host until the GPU is done, in every step.
    """
    if fits.device.type != "cpu" or torch.compiler.is_compiling():
        return
    try:
        torch._assert_async(fits, message)
    except RuntimeError:
        raise ValueError(message) from None
