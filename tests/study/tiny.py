"""A user's own module: data of two modalities and a network that train in a moment."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import Tensor, nn
from torch.utils.data import Dataset

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.types import Batch, Output

CLASSES = 3
WIDTHS = {"audio": 6, "visual": 5}


class Samples(Dataset[Batch]):
    """Noisy one-hot vectors of random classes, one per modality; reading one may take a while."""

    def __init__(self, size: int, labelled: int, seed: int, signal: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.classes = torch.randint(CLASSES, (size,), generator=generator)
        self.inputs = {
            modality: signal * F.one_hot(self.classes, width)
            + torch.randn(size, width, generator=generator)
            for modality, width in WIDTHS.items()
        }
        self.labelled = labelled
        self.pause = float(os.environ.get("TINY_PAUSE", 0))

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, i: int) -> Batch:
        time.sleep(self.pause)
        label = self.classes[i] if i < self.labelled else torch.tensor(-100)
        return {m: x[i] for m, x in self.inputs.items()} | {"label": label, "index": i}


class Pairs(MultimodalDataModule):
    """Pairs of vectors.

    Args:
        seed: As in the base class.
        labelled: Training samples that have a label.
        signal: How far the classes are apart; 0: there is nothing to learn.
    """

    class_names = ("a", "b", "c")
    available_modalities = tuple(WIDTHS)

    def __init__(self, seed: int = 0, labelled: int = 32, signal: float = 2.0) -> None:
        super().__init__(batch_size=16, seed=seed)
        self.labelled = labelled
        self.signal = signal

    def make_dataset(self, split: str) -> Samples:
        seed = 10 * self.seed + ("train", "val", "test").index(split)
        if split == "train":
            return Samples(32, self.labelled, seed, self.signal)
        return Samples(48, 48, seed, self.signal)


class Seedless(Pairs):
    """Always the same pairs."""

    def __init__(self) -> None:
        super().__init__(seed=0)


class Dies(Callback):
    """Fails when the third epoch begins while there is a file ``die``."""

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 2 and Path("die").exists():
            raise RuntimeError("died of a file")


class Terminates(Callback):
    """Sends SIGTERM to its process, as a cluster does, while a batch is trained on."""

    def on_train_batch_start(self, *args: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


class Net(nn.Module):
    """Two layers.

    Args:
        modality: Whose width it has.
    """

    def __init__(self, modality: str) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(WIDTHS[modality], 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Output:
        features = self.body(x).relu()
        return Output(features, self.head(features))
