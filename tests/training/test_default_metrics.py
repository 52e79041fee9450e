import pytest
import torch
from torch import Tensor
from torchmetrics import MetricCollection

from fdkd_lightning.losses import OneClassTask
from fdkd_lightning.training.default_metrics import default_metrics


def test_what_has_no_label_takes_no_part() -> None:
    said = torch.tensor([0, 0, 0, 1, 2, 2, 1, 1])
    labels = torch.tensor([0, 0, 0, 0, 1, 2, -100, -100])
    logits: Tensor = torch.eye(4)[said]
    found = MetricCollection(default_metrics(OneClassTask(), 4))(logits, labels)
    # F1: 6/7 of class 0, 0 of class 1, 2/3 of class 2.
    expected = {"accuracy": 4 / 6, "macro_f1": (6 / 7 + 0 + 2 / 3) / 3}
    assert {name: value.item() for name, value in found.items()} == pytest.approx(expected)

    maps = logits.reshape(2, 2, 2, 4).movedim(-1, 1)
    found = MetricCollection(default_metrics(OneClassTask(), 4, per_pixel=True))(
        maps, labels.reshape(2, 2, 2)
    )
    # IoU: 3/4 of class 0, 0 of class 1, 1/2 of class 2; the fourth class does not occur.
    expected = {
        "accuracy": 4 / 6,
        "class_accuracy": (3 / 4 + 0 + 1) / 3,
        "mean_iou": (3 / 4 + 0 + 1 / 2) / 3,
    }
    assert {name: value.item() for name, value in found.items()} == pytest.approx(expected)
