"""A fit whose student's features separate the classes, and whose teacher's do not."""

from pathlib import Path
from typing import Any

import torch
from fits import trainer
from lightning.pytorch import Callback, LightningModule
from small import distilled
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.types import Output


class Wide(nn.Module):
    """Gives its input as features, times a weight, beside a layer that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Output:
        return Output(self.scale * x, self.fc(nn.functional.dropout(x, 0.5, self.training)))


def loader(size: int = 16, labelled: int = 16, wrong: bool = False) -> DataLoader[Any]:
    """Visual features show the class, audio features are all the same."""
    samples = []
    for i in range(size):
        known = i % 2 if i < labelled else -100
        visual = torch.eye(2)[i % 2] + 0.01 * i * torch.eye(2)[1 - i % 2]
        if i >= labelled and wrong:
            visual = visual.flip(0)
        samples.append({"visual": visual, "audio": torch.ones(2), "label": known, "index": i})
    return DataLoader(samples, 4)  # type: ignore[arg-type]  # a list is a data set


def student(**settings: Any) -> LightningModule:
    torch.manual_seed(0)
    return distilled(Wide(), teachers={"audio": Wide()}, projector=None, **settings)


def fit(folder: Path, *callbacks: Callback, epochs: int = 1, **settings: Any) -> Any:
    fitted = trainer(folder, *callbacks, epochs=epochs, num_sanity_val_steps=0)
    module = student()
    train = loader(**settings)
    fitted.fit(module, train, loader(8))
    return fitted, module
