import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fits import trainer
from lightning.pytorch.loggers import CSVLogger, Logger
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.training.monitor.sample_predictions import SamplePredictions
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Output


class Echo(nn.Module):
    """Its input's first channels are its logits, averaged where there is one class per sample."""

    def __init__(self, per_pixel: bool = False) -> None:
        super().__init__()
        self.per_pixel = per_pixel

    def forward(self, x: Tensor) -> Output:
        logits = x if self.per_pixel else x.mean((2, 3))
        return Output(logits, logits)


def sample(index: int, predicted: int, label: Any) -> dict[str, Any]:
    x = torch.zeros(3, 4, 4)
    x[predicted] = 2.0
    return {"visual": x, "label": label, "index": index}


def validate(
    folder: Path, samples: list[dict[str, Any]], net: nn.Module, **settings: Any
) -> list[list[str]]:
    logger: Logger = CSVLogger(str(folder), "logs", 0)
    fitted = trainer(folder, SamplePredictions(**settings), logger=logger)
    loader = DataLoader(samples, batch_size=2)  # type: ignore[arg-type]  # a list is a data set
    fitted.validate(UnimodalModule(net, "visual"), loader, verbose=False)
    with (folder / "logs/version_0/samples.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_the_first_samples_are_listed_with_label_and_prediction(tmp_path: Path) -> None:
    samples = [sample(7, 1, 1), sample(4, 2, 0), sample(9, 0, -100), sample(5, 0, 0)]
    rows = validate(tmp_path, samples, Echo(), count=3)
    # exp(2) of exp(2) + 2
    p = f"{np.exp(2) / (np.exp(2) + 2):.4f}"
    assert rows == [
        ["step", "index", "label", "class", "probability"],
        ["0", "4", "0", "2", p],
        ["0", "7", "1", "1", p],
        ["0", "9", "", "0", p],
    ]
    with Image.open(tmp_path / "logs/version_0/samples/7.png") as image:
        pixels = np.asarray(image)
    # The second of three channels is the largest.
    assert pixels.shape == (4, 4, 3)
    assert (pixels == [0, 255, 0]).all()
    assert len([*(tmp_path / "logs/version_0/samples").iterdir()]) == 3


def test_segmentation_is_shown_side_by_side(tmp_path: Path) -> None:
    label = torch.zeros(4, 4, dtype=torch.int64)
    label[0] = 1
    label[1] = -100
    rows = validate(tmp_path, [sample(0, 0, label)], Echo(per_pixel=True))
    assert rows[1] == ["0", "0", f"{8 / 12:.4f}"]
    with Image.open(tmp_path / "logs/version_0/samples/0.png") as image:
        assert image.size == (16, 4)


def test_no_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="count=0"):
        SamplePredictions(count=0)
