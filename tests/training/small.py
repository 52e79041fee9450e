"""Tiny networks and data of two modalities, for tests that fit many times."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.losses import FeatureLoss
from fdkd_lightning.models.pretrained import DeferredModel
from fdkd_lightning.training.callback.callback import DistillationCallback
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.projector import Projector
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Output


class Norm(nn.Module):
    """Has buffers, and features of another width than those of ``Norm(width=6)``."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Linear(3, width)
        self.norm = nn.BatchNorm1d(width)
        self.fc = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Output:
        features = self.norm(self.body(x))
        return Output(features, self.fc(features))


class Source(DeferredModel):
    """Reads constant weights from its source, and counts how often it does."""

    def __init__(self, constant: float = 0.5, width: int = 4) -> None:
        super().__init__()
        self.net = Norm(width)
        self.constant = constant
        self.reads = 0

    def load(self) -> None:
        self.reads += 1
        for parameter in self.net.parameters():
            nn.init.constant_(parameter, self.constant)

    def forward(self, x: Tensor) -> Output:
        output: Output = self.net(x)
        return output


def loader(size: int = 8, batch: int = 4) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    audio, visual = torch.randn(2, size, 3, generator=generator)
    return DataLoader(
        [{"audio": audio[i], "visual": visual[i], "label": i % 2, "index": i} for i in range(size)],  # type: ignore[arg-type]  # a list is a data set
        batch,
    )


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1)


def unimodal(model: nn.Module | None = None) -> UnimodalModule:
    return UnimodalModule(model or Norm(), "visual", optimizer=sgd)


def distilled(student: nn.Module | None = None, **settings: Any) -> DistillationModule:
    defaults = {
        "teachers": {"audio": Norm(6)},
        "criterion": FeatureLoss(),
        "projector": Projector(),
        "optimizer": sgd,
        "teacher_check_batches": 0,
    }
    given: dict[str, Any] = defaults | settings
    return DistillationModule(student or Norm(), student_modality="visual", **given)


class Host(LightningModule):
    """A module that does not know of distillation."""

    def __init__(self, net: nn.Module | None = None) -> None:
        super().__init__()
        self.net = net or Norm()

    def forward(self, x: Tensor) -> Tensor:
        output: Output = self.net(x)
        return output.logits

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch["visual"]), batch["label"])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.seen = self(batch["visual"])

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.seen = self(batch["visual"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return sgd(self.parameters())


def beside(**settings: Any) -> DistillationCallback:
    given: dict[str, Any] = {"teachers": {"audio": Norm(6)}, "projector": Projector()} | settings
    return DistillationCallback(criterion=FeatureLoss(), student_input="visual", **given)


def checkpoint(folder: Path) -> Path:
    return folder / "some.ckpt"
