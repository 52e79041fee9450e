import pytest
import torch
from torch import nn

from fdkd_lightning.losses import RegressionTask

OUTPUTS = torch.tensor([[1.0, 2.0], [3.0, 0.0]], dtype=torch.float64)
TARGET = torch.tensor([[2.0, torch.nan], [0.0, 0.5]], dtype=torch.float64)
"""Differences of 1, 3 and 0.5."""


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (None, (1 + 9 + 0.25) / 3),
        (nn.MSELoss(), (1 + 9 + 0.25) / 3),
        (nn.L1Loss(), (1 + 3 + 0.5) / 3),
        (nn.HuberLoss(delta=2.0), (0.5 + 2 * (3 - 1) + 0.125) / 3),
        (nn.SmoothL1Loss(), (0.5 + 2.5 + 0.125) / 3),
    ],
)
def test_values_worked_out_by_hand(loss: nn.Module | None, expected: float) -> None:
    assert RegressionTask(loss)(OUTPUTS, TARGET).item() == pytest.approx(expected, rel=1e-12)


def test_wrong_values_are_refused() -> None:
    task = RegressionTask()
    for target in (TARGET.long(), TARGET.bool(), [1.0]):
        with pytest.raises(TypeError, match=r"labels is .*: give floating-point values, NaN"):
            task.check("labels", target, OUTPUTS)
    with pytest.raises(ValueError, match="labels has 1 infinite values"):
        task.check("labels", TARGET.nan_to_num(torch.inf), OUTPUTS)
    task.check("labels", TARGET, OUTPUTS)


def test_metrics_get_the_samples_whose_values_are_all_known() -> None:
    task = RegressionTask()
    outputs, labels = task.metric_inputs(OUTPUTS, TARGET)
    assert outputs.tolist() == [[3, 0]]
    assert labels.tolist() == [[0, 0.5]]
    outputs, labels = task.metric_inputs(OUTPUTS[:, 1:], TARGET[:, 1])
    assert (outputs.tolist(), labels.tolist()) == ([0], [0.5])
    maps = torch.arange(8.0).reshape(2, 1, 2, 2)
    assert task.metric_inputs(maps, maps[:, 0])[0].shape == (8,)
    assert task.predict(torch.ones(3)).shape == (3, 1)
