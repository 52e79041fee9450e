from typing import Any

import pytest
import torch

from fdkd_lightning.ops.tensor_checks import (
    check_axis,
    check_classes,
    check_has_classes,
    check_labels,
    check_module,
    check_on_cpu,
    check_tensor,
)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([1.0], TypeError, r"x is of type list: give a tensor \[N, D\]"),
        (torch.zeros(2, 3).long(), ValueError, r"x has dtype torch.int64: give floating-point"),
        (torch.zeros(2, 3).cfloat(), ValueError, "x has dtype torch.complex64"),
        (torch.zeros(2), ValueError, r"x has shape \[2\]: give \[N, D\]"),
    ],
)
def test_what_is_no_such_tensor_is_named(x: Any, error: type, message: str) -> None:
    check_tensor("x", torch.zeros(2, 3), "[N, D]", 2)
    with pytest.raises(error, match=message):
        check_tensor("x", x, "[N, D]", 2)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (torch.zeros(2), TypeError, "target is torch.float32: give an int64 tensor"),
        ([0, 1], TypeError, "target is list"),
        (torch.tensor([0]), ValueError, r"shape \[1\], which does not fit logits \[2, 3\]"),
    ],
)
def test_labels_are_one_class_each(labels: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        check_labels("target", labels, (2,), "logits [2, 3]")


@pytest.mark.parametrize("label", [-1, -99, 3, 99])
def test_a_label_that_is_no_class_is_named(label: int) -> None:
    with pytest.raises(ValueError, match=r"target ranges from .* num_classes=3"):
        check_classes("target", torch.tensor([0, -100, label]), 3)


def test_logits_without_a_class_are_refused() -> None:
    check_has_classes(torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"logits of shape \[2, 0, 4, 4\] have no class"):
        check_has_classes(torch.zeros(2, 0, 4, 4))
    with pytest.raises(ValueError, match=r"logits of shape \[2, 1\] have a single class"):
        check_has_classes(torch.zeros(2, 1))


@pytest.mark.parametrize("dim", [2, -3])
def test_an_axis_that_is_not_there_is_named(dim: int) -> None:
    with pytest.raises(ValueError, match=rf"dim={dim} is no axis of a tensor of shape \[2, 3\]"):
        check_axis("dim", dim, torch.zeros(2, 3))
    with pytest.raises(TypeError, match="dim=True must be a whole number"):
        check_axis("dim", True, torch.zeros(2, 3))


def test_a_condition_on_values_is_read_on_a_cpu_alone() -> None:
    check_on_cpu(torch.tensor(True), "wrong")
    check_on_cpu(torch.tensor(False, device="meta"), "wrong")
    with pytest.raises(ValueError, match=r"^wrong$"):
        check_on_cpu(torch.tensor(False), "wrong")


def test_a_module_is_required() -> None:
    check_module("model", torch.nn.Identity())
    with pytest.raises(TypeError, match=r"model=<class .* is of type type: give"):
        check_module("model", torch.nn.Identity)
