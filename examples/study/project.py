"""Stands for your project: a data module and a network of your own, and nothing else of yours."""

from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, StackDataset

from fdkd_lightning import Output


class Gestures(LightningDataModule):
    """Eight gestures, each as motion (clear) and as picture (noisy); few pairs have a label."""

    def __init__(self, pairs: int = 512, labelled: int = 64, seed: int = 0) -> None:
        super().__init__()
        self.pairs, self.labelled, self.seed = pairs, labelled, seed

    def setup(self, stage: str) -> None:
        self.train = self._draw(self.pairs, 1 + 3 * self.seed)
        self.train["label"][self.labelled :] = -100  # no label: distances only
        self.val, self.test = (self._draw(500, 2 + i + 3 * self.seed) for i in range(2))

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(StackDataset(**self.train), batch_size=32, shuffle=True)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(StackDataset(**self.val), batch_size=250)

    def test_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(StackDataset(**self.test), batch_size=250)

    def _draw(self, count: int, seed: int) -> dict[str, Any]:
        classes = torch.Generator().manual_seed(0)  # the same gestures whatever the seed
        motion = torch.randn(8, 16, generator=classes)
        picture = torch.randn(8, 64, generator=classes)
        samples = torch.Generator().manual_seed(seed)
        label = torch.randint(8, (count,), generator=samples)
        return {
            "motion": motion[label] + torch.randn(count, 16, generator=samples),
            "picture": picture[label] + 4 * torch.randn(count, 64, generator=samples),
            "label": label,
            "index": torch.arange(count),
        }


class Network(nn.Module):
    """Any network that returns an Output will do."""

    def __init__(self, in_features: int, classes: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(in_features, 128), nn.ReLU(), nn.Linear(128, 64))
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Output:
        features = self.body(x)
        return Output(features, self.head(features.relu()))
