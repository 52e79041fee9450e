"""Pairs of two modalities, a network and a module for them."""

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.losses.feature import FeatureLoss
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.types import Batch, Output

ROWS = 60


def samples(split: str) -> list[Batch]:
    """Pairs that share two of four values beyond their class; in train a fifth has no label."""
    generator = torch.Generator().manual_seed(len(split))
    label = torch.arange(ROWS) % 3
    shared = torch.randn(ROWS, 2, generator=generator)
    found = {}
    for name in ("audio", "visual"):
        noise = 0.1 * torch.randn(ROWS, 2, generator=generator)
        found[name] = torch.cat([shared, noise], 1) + 4 * label.unsqueeze(1)
    if split == "train":
        label[::5] = -100
    return [
        {"label": label[i], "index": i, **{name: x[i] for name, x in found.items()}}
        for i in range(ROWS)
    ]


class Data(MultimodalDataModule):
    class_names = ("low", "middle", "high")
    available_modalities = ("audio", "visual")

    def make_dataset(self, split: str) -> Dataset[Batch]:
        if split == "test":
            raise AssertionError("the test split is read")
        return samples(split)  # type: ignore[return-value]  # a list is one


class People(Data):
    def groups(self, split: str) -> Sequence[int]:
        return [i // 10 + (100 if split == "val" else 0) for i in range(ROWS)]


class Incomplete(Data):
    def make_dataset(self, split: str) -> Dataset[Batch]:
        kept = super().make_dataset(split)
        for i in range(ROWS):
            kept[i]["present"] = {"audio": torch.tensor(i % 2 == 0)}
        return kept


class Loaders(LightningDataModule):
    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(samples("train"), batch_size=7)  # type: ignore[arg-type]  # a list

    def val_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(samples("val"), batch_size=7)  # type: ignore[arg-type]  # a list


class Net(nn.Module):
    """Features are the input, turned; scores are fixed: the class by the sum of the values."""

    def __init__(self, turn: int = 0, classes: int = 3) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.turn, self.classes = turn, classes

    def forward(self, x: Tensor) -> Output:
        # 0, 4 and 8 on average.
        distance = (x.mean(1, keepdim=True) - 4.0 * torch.arange(self.classes)).abs()
        return Output(self.scale * x.roll(self.turn, 1), -distance)


def module(teacher: nn.Module | None = None, **more: nn.Module) -> DistillationModule:
    teachers = {"audio": Net(turn=1) if teacher is None else teacher, **more}
    return DistillationModule(Net(), teachers, FeatureLoss(), "visual")
