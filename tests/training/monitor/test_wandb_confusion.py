from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from fits import trainer
from lightning.pytorch.loggers import WandbLogger
from small import loader
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.training.monitor.wandb_confusion import WandbConfusion
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Output


class Echo(nn.Module):
    def forward(self, x: Tensor) -> Output:
        return Output(x, x)


def test_the_matrix_counts_labelled_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    charts: list[dict[str, Any]] = []
    monkeypatch.setattr(wandb.plot, "confusion_matrix", lambda **given: charts.append(given))
    samples = [
        {"visual": torch.eye(3)[predicted], "label": label, "index": i}
        for i, (predicted, label) in enumerate([(0, 0), (2, 1), (1, -100)])
    ]
    logger = WandbLogger(save_dir=tmp_path, project="p")
    fitted = trainer(tmp_path, WandbConfusion(), logger=logger)
    data = DataLoader(samples, 2)  # type: ignore[arg-type]  # a list is a data set
    fitted.test(UnimodalModule(Echo(), "visual"), data, verbose=False)
    wandb.finish()
    assert charts == [{"y_true": [0, 1], "preds": [0, 2], "class_names": ["0", "1", "2"]}]


def test_without_wandb_nothing_is_kept(tmp_path: Path) -> None:
    confusion = WandbConfusion()
    trainer(tmp_path, confusion).test(UnimodalModule(Echo(), "visual"), loader(), verbose=False)
    assert confusion._pairs == []
