import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.models.dense_evaluation import DenseEvaluation
from fdkd_lightning.training.monitor.segmentation_images import SegmentationImages
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Output


class Echo(nn.Module):
    """Its input's channels are its logits."""

    def forward(self, x: Tensor) -> Output:
        return Output(x, x)


def sample(index: int, wrong: int, void: int = 0) -> dict[str, Any]:
    """Eight pixels of class 0, of which some are predicted as class 1 and others have no label."""
    predicted, label = torch.zeros(8, dtype=torch.int64), torch.zeros(8, dtype=torch.int64)
    predicted[:wrong] = 1
    label[8 - void :] = -100
    logits = torch.eye(2)[predicted].T.reshape(2, 2, 4)
    return {"depth": logits, "label": label.reshape(2, 4), "index": index}


def validate(folder: Path, samples: list[dict[str, Any]], **arguments: Any) -> None:
    trainer = Trainer(
        accelerator="cpu",
        callbacks=[SegmentationImages(**arguments)],
        logger=False,
        enable_progress_bar=False,
        default_root_dir=folder,
    )
    loader = DataLoader(samples, batch_size=2)  # type: ignore[arg-type]  # a list is a data set
    trainer.validate(UnimodalModule(Echo(), "depth"), loader, verbose=False)


def rows(folder: Path) -> list[list[str]]:
    with (folder / "segmentation/val_worst.csv").open(newline="") as file:
        return list(csv.reader(file))[1:]


def test_the_worst_samples_are_written_in_order(tmp_path: Path) -> None:
    samples = [sample(4, 1), sample(7, 6), sample(5, 0), sample(9, 3, void=4), sample(2, 0, void=8)]
    validate(tmp_path, samples, count=3)
    assert rows(tmp_path) == [
        ["val_worst_1.png", "7", "0.2500"],
        ["val_worst_2.png", "9", "0.2500"],
        ["val_worst_3.png", "4", "0.8750"],
    ]
    with Image.open(tmp_path / "segmentation/val_worst_1.png") as image:
        pixels = np.asarray(image)
    # Input, labels, prediction, errors: six of them.
    assert pixels.shape == (2, 16, 3)
    red = (pixels[:, 12:] == (230, 30, 30)).all(2)
    assert red.sum() == 6
    assert {path.name for path in (tmp_path / "segmentation").iterdir()} == {
        "val_worst.csv",
        *(f"val_worst_{place}.png" for place in (1, 2, 3)),
    }


def test_samples_without_labels_take_no_part(tmp_path: Path) -> None:
    validate(tmp_path, [sample(0, 3, void=8)] * 2)
    assert not (tmp_path / "segmentation").exists()


def test_a_class_per_sample_is_refused(tmp_path: Path) -> None:
    flat = [{"depth": torch.zeros(2), "label": 0, "index": i} for i in range(2)]
    with pytest.raises(ValueError, match=r"shape \[2, 2\], no class per pixel"):
        validate(tmp_path, flat)


def test_a_bad_count_is_named() -> None:
    with pytest.raises(ValueError, match="count=0"):
        SegmentationImages(count=0)


def test_the_module_evaluates_as_it_is_told() -> None:
    """By windows of two columns, each of which says the class of its first column."""

    class First(Echo):
        def forward(self, x: Tensor) -> Output:
            return super().forward(x[..., :1].expand_as(x))

    samples = [sample(0, 1)]
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, barebones=False)
    loader = DataLoader(samples, batch_size=1)  # type: ignore[arg-type]  # a list is a data set
    accuracies = []
    for evaluation in (None, DenseEvaluation((1, 2), (1, 2))):
        module = UnimodalModule(First(), "depth", evaluation=evaluation)
        accuracies.append(trainer.validate(module, loader, verbose=False)[0]["val/accuracy"])
        (predicted,) = trainer.predict(module, loader) or []
        assert predicted["classes"].shape == (1, 2, 4)
    # The first pixel alone is wrong: it spreads over its row, or over its window.
    assert accuracies == [4 / 8, 6 / 8]
