import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.alignment import SharedAlignmentHead, alignment_loss
from fdkd_lightning.losses.joint_alignment import joint_alignment_loss
from fdkd_lightning.types import Bands

TARGET = torch.tensor([2, -100, 0])


def both(*size: int) -> tuple[SharedAlignmentHead, Tensor]:
    torch.manual_seed(0)
    head = SharedAlignmentHead(8, 4).double()
    return head, torch.randn(2, 6, 8, *size, dtype=torch.float64, requires_grad=True)


def separately(head: SharedAlignmentHead, bands: Tensor, target: Tensor) -> Tensor:
    return alignment_loss(head(Bands(*bands[:, :3])), head(Bands(*bands[:, 3:].detach())), target)


def test_it_is_the_loss_of_separate_networks_with_its_gradients() -> None:
    head, bands = both()
    wanted = [bands, *head.parameters()]
    found, expected = (f(head, bands, TARGET) for f in (joint_alignment_loss, separately))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    gradients = (torch.autograd.grad(loss, wanted) for loss in (found, expected))
    for own, its in zip(*gradients, strict=True):
        torch.testing.assert_close(own, its, rtol=1e-10, atol=1e-12)


def test_maps_autocast_and_hooks_are_left_to_the_modules() -> None:
    head, bands = both(2, 3)
    found = joint_alignment_loss(head, bands, TARGET)
    torch.testing.assert_close(found, separately(head, bands, TARGET), rtol=1e-12, atol=0)
    head, bands = both()
    scores = []
    head.low.register_forward_hook(lambda _, __, score: scores.append(score))
    joint_alignment_loss(head, bands, TARGET)
    assert scores


def test_without_labels_it_is_zero() -> None:
    head, bands = both()
    assert joint_alignment_loss(head, bands, torch.full((3,), -100)) == 0


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (torch.tensor([0, 1, 4]), ValueError, "target ranges from 0 to 4"),
        (torch.tensor([0, 1]), ValueError, r"target has shape \[2\]"),
        (torch.zeros(3), TypeError, "target is torch.float32"),
    ],
)
def test_wrong_labels_are_errors(target: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        joint_alignment_loss(*both(), target)
