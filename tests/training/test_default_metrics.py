import pytest
import torch
from torch import Tensor
from torchmetrics import MetricCollection

from fdkd_lightning.training.default_metrics import default_metrics


@pytest.mark.parametrize("shape", [(8,), (2, 2, 2)])
def test_accuracy_and_macro_f1_leave_out_what_has_no_label(shape: tuple[int, ...]) -> None:
    said = torch.tensor([0, 0, 0, 1, 2, 2, 1, 1])
    labels = torch.tensor([0, 0, 0, 0, 1, 2, -100, -100])
    logits: Tensor = torch.eye(3)[said].reshape(*shape, 3).movedim(-1, 1)
    metrics = MetricCollection(default_metrics(3))
    found = metrics(logits, labels.reshape(shape))
    # F1: 6/7 of class 0, 0 of class 1, 2/3 of class 2.
    expected = {"accuracy": 4 / 6, "macro_f1": (6 / 7 + 0 + 2 / 3) / 3}
    assert {name: value.item() for name, value in found.items()} == pytest.approx(expected)
