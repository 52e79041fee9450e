from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdkd_lightning.losses import OneClassTask
from fdkd_lightning.ops.cross_entropy import cross_entropy

LOGITS = torch.tensor([[3.0, 1.0], [1.0, 1.0], [1.0, 7.0], [9.0, 2.0]], dtype=torch.float64).log()
TARGET = torch.tensor([0, 1, 0, -100])


class Focal(nn.CrossEntropyLoss):
    """(1 - p)^2 times the cross-entropy."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        values = F.cross_entropy(input, target, reduction="none")
        values = (1 - (-values).exp()) ** 2 * values
        return values if self.reduction == "none" else values.mean()


def test_the_default_is_the_cross_entropy_bit_by_bit() -> None:
    logits = torch.randn(6, 5)
    target = torch.tensor([0, 4, -100, 2, 2, 1])
    assert torch.equal(OneClassTask()(logits, target), cross_entropy(logits, target))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, [1.0, 3.0], [0.01, 0.02]])
def test_it_is_torchs_mean_with_weights_and_smoothing(weight: Any, smoothing: float) -> None:
    loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
    expected = F.cross_entropy(
        LOGITS,
        TARGET,
        None if weight is None else torch.tensor(weight, dtype=torch.float32).double(),
        label_smoothing=smoothing,
    )
    torch.testing.assert_close(OneClassTask(loss, weight)(LOGITS, TARGET), expected)
    given = nn.CrossEntropyLoss(
        None if weight is None else torch.tensor(weight), label_smoothing=smoothing
    )
    torch.testing.assert_close(OneClassTask(given)(LOGITS, TARGET), expected)


def test_a_weighted_value_worked_out_by_hand() -> None:
    # -log p of the labels: log 4/3, log 2 and log 8, with weights 1, 3 and 1.
    expected = (torch.tensor([4 / 3, 8.0, 8.0], dtype=torch.float64).log().sum()) / 5
    assert OneClassTask(weight=[1, 3])(LOGITS, TARGET).item() == pytest.approx(
        expected.item(), rel=1e-12
    )


def test_another_loss_is_averaged_over_the_labels() -> None:
    p = torch.tensor([3 / 4, 1 / 2, 1 / 8], dtype=torch.float64)
    expected = -((1 - p) ** 2 * p.log()).mean()
    task = OneClassTask(Focal())
    assert task(LOGITS, TARGET).item() == pytest.approx(expected.item(), rel=1e-12)
    maps = LOGITS.T.reshape(1, 2, 2, 2)
    assert task(maps, TARGET.reshape(1, 2, 2)).item() == pytest.approx(expected.item(), rel=1e-12)
    logits = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: task(z, TARGET), logits)
    assert torch.autograd.gradcheck(lambda z: OneClassTask(weight=[1, 3])(z, TARGET), logits)
    assert task(LOGITS, torch.full((4,), -100)).item() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": nn.CrossEntropyLoss(ignore_index=255)}, "ignore_index=255: leave it at -100"),
        ({"weight": [1.0, -1.0]}, r"weight\[1\]=-1.0 must be at least 0"),
        ({"weight": [0.0, 0.0]}, "no weight above 0"),
        (
            {"loss": nn.CrossEntropyLoss(torch.ones(2)), "weight": [1.0, 1.0]},
            "for a loss with `weight` that has none yet",
        ),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OneClassTask(**arguments)


def test_wrong_labels_and_outputs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"single class, .* task_loss=BCEWithLogitsLoss"):
        OneClassTask()(torch.zeros(2, 1), torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match=r"weight has shape \[3\], but the logits \[4, 2\]"):
        OneClassTask(weight=[1, 1, 1])(LOGITS, TARGET)
    with pytest.raises(TypeError, match=r"labels is torch.float32: give an int64"):
        OneClassTask().check("labels", torch.zeros(4), LOGITS)
    with pytest.raises(ValueError, match="labels ranges from 0 to 2"):
        OneClassTask().check("labels", torch.tensor([0, 2, 0, 0]), LOGITS)


def test_samples_without_a_label_and_predictions() -> None:
    task = OneClassTask()
    assert task.unlabelled(LOGITS).tolist() == [-100] * 4
    assert task.positions(torch.zeros(2, 5, 6), 3) == (5, 6)
    assert task.predict(LOGITS)[0].tolist() == pytest.approx([0.75, 0.25])
    assert all(map(torch.equal, task.metric_inputs(LOGITS, TARGET), (LOGITS, TARGET)))
