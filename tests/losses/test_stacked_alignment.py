from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fdkd_lightning.losses.alignment import (
    SharedAlignmentHead,
    alignment_loss,
    soft_alignment_loss,
)
from fdkd_lightning.losses.stacked_alignment import (
    stacked_alignment_loss,
    stacked_soft_alignment_loss,
    unstack,
)
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.types import Bands, Output


def stacked(*size: int, classes: int = 5) -> tuple[SharedAlignmentHead, Tensor]:
    """Classifiers, and bands of six samples of both networks."""
    torch.manual_seed(0)
    head = SharedAlignmentHead(7, classes).double()
    return head, torch.randn(2, 12, 7, *size, dtype=torch.float64, requires_grad=True)


def each(head: SharedAlignmentHead, bands: Tensor, *labels: Any, **options: Any) -> Tensor:
    """The loss of the networks one by one."""
    return alignment_loss(*unstack(head(Bands(*bands))), *labels, **options)


@pytest.mark.parametrize("size", [(), (3, 2)])
@pytest.mark.parametrize("labelled", [6, 2, 0])
def test_the_loss_is_that_of_both_networks(size: tuple[int, ...], labelled: int) -> None:
    head, bands = stacked(*size)
    target = torch.arange(6) % 5
    target[labelled:] = -100
    target = target.view(-1, *[1] * len(size)).expand(-1, *size)
    found, expected = stacked_alignment_loss(head, bands, target), each(head, bands, target)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    sources = [bands, *head.parameters()]
    gradients = [torch.autograd.grad(loss, sources) for loss in (found, expected)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-15)


def test_each_network_may_have_labels_of_its_own() -> None:
    head, bands = stacked()
    labels = torch.arange(6) % 5, torch.tensor([2, -100, 0, 1, 1, 1])
    assert torch.equal(stacked_alignment_loss(head, bands, *labels), each(head, bands, *labels))


@pytest.mark.parametrize(
    "task",
    [OneClassTask(nn.CrossEntropyLoss(label_smoothing=0.1)), OneClassTask(weight=[1, 2, 3, 4, 5])],
)
def test_another_task_is_that_of_its_own_loss(task: Task) -> None:
    head, bands = stacked()
    target = torch.arange(6) % 5
    found = stacked_alignment_loss(head, bands, target, task=task)
    torch.testing.assert_close(found, each(head, bands, target, task=task))


@pytest.mark.parametrize("own_labels", [None, torch.tensor([2, -100, 0, -100, 1, 1])])
def test_the_soft_loss_is_that_of_both_networks(own_labels: Tensor | None) -> None:
    head, bands = stacked()
    target = torch.tensor([0, -100, 2, 3, -100, 1])
    teacher = Output(
        torch.zeros(6, 7), 3 * torch.randn(6, 5, dtype=torch.float64), label=own_labels
    )
    found = stacked_soft_alignment_loss(head, bands, teacher, target, 2.0)
    scores = (head(Bands(*half)) for half in (bands[:, :6], bands[:, 6:]))
    expected = soft_alignment_loss(*scores, teacher.logits, target, own_labels, 2.0)
    torch.testing.assert_close(found, expected)


def test_hooks_of_the_classifiers_are_called() -> None:
    head, bands = stacked()
    calls = []
    head.low.register_forward_hook(lambda *_: calls.append("low"))
    stacked_alignment_loss(head, bands, torch.arange(6) % 5)
    assert calls == ["low"]


@pytest.mark.parametrize(
    "target", [None, torch.tensor(1), torch.arange(5), torch.arange(6), torch.zeros(6)]
)
def test_labels_of_other_samples_or_classes_are_refused(target: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="target"):
        stacked_alignment_loss(*stacked(), target)


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="class"):
        stacked_alignment_loss(*stacked(classes=1), torch.zeros(6, dtype=torch.int64))
