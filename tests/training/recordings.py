"""A data module of pairs with unique ids, for tests of teacher caches."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.utils.data import Dataset

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.sampling import EpochSampler
from fdkd_lightning.training.cache.build import build_cache
from fdkd_lightning.training.cache.settings import TeacherCache
from fdkd_lightning.types import Batch, Output


class Recordings(Dataset[Batch]):
    """Random vectors; ``drawn`` adds a shift that depends on the epoch to the audio."""

    def __init__(self, first: int, size: int, modalities: tuple[str, ...], **options: Any) -> None:
        self.index = torch.arange(first, first + size)
        self.modalities = modalities
        self.lacking = options.get("lacking", 0)
        self.drawn = options.get("drawn", False)
        self.read: list[str] = []
        self.skipped: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, item: Any) -> Batch:
        epoch, i = item if isinstance(item, tuple) else (None, item)
        generator = torch.Generator().manual_seed(int(self.index[i]))
        audio, visual = torch.randn(2, 3, generator=generator)
        if self.drawn and epoch is not None:
            audio = audio + 1 + epoch
        inputs = {"audio": audio, "visual": visual}
        sample: Batch = {"label": i % 2, "index": self.index[i]}
        for modality in self.modalities:
            if modality not in self.skipped:
                self.read.append(modality)
                sample[modality] = inputs[modality]
        if self.lacking and "audio" in self.modalities:
            sample["present"] = {"audio": i % self.lacking != 0}
        return sample


class Pairs(MultimodalDataModule):
    """22 training and 6 validation pairs.

    Args:
        gain: An argument that is not about loading.
        lacking: Every which sample lacks the audio; 0: none.
        drawn: Draw the training view by epoch.
    """

    class_names = ("a", "b")
    available_modalities = ("audio", "visual")
    choice_arguments = (*MultimodalDataModule.choice_arguments, "size")

    def __init__(
        self,
        batch_size: int = 4,
        modalities: Any = None,
        seed: int = 0,
        transforms: Any = None,
        gain: float = 1.0,
        lacking: int = 0,
        drawn: bool = False,
        size: int = 22,
    ) -> None:
        super().__init__(None, batch_size, 3, 0, modalities, seed, transforms)
        self.gain = gain
        self.lacking, self.drawn, self.size = lacking, drawn, size

    def make_dataset(self, split: str) -> Recordings:
        first, size = {"train": (100, self.size), "val": (500, 6), "test": (900, 4)}[split]
        options = {"lacking": self.lacking, "drawn": self.drawn}
        return Recordings(first, size, self.modalities, **options)

    def make_sampler(self, dataset: Any, num_replicas: int, rank: int, seed: int) -> Any:
        if self.drawn:
            return EpochSampler(dataset, num_replicas, rank, seed)
        return super().make_sampler(dataset, num_replicas, rank, seed)


class Teacher(nn.Module):
    """Features, logits and two maps of a vector; it counts its calls."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 2)
        self.calls = 0

    def forward(self, x: Tensor) -> Output:
        self.calls += 1
        features = self.body(x).relu()
        maps = (features[:, :, None, None].expand(-1, -1, 2, 3), features[:, :2, None, None])
        return Output(features, self.head(features), maps)


def cpu() -> Trainer:
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
    )


def build(
    folder: Path, data: Any = None, network: nn.Module | None = None, **settings: Any
) -> Path:
    """Build a cache of the audio teacher, without a progress bar."""
    data = data or Pairs()
    data.setup("fit")
    stored = TeacherCache(folder, **settings)
    return build_cache(network or Teacher(), "audio", data, stored, cpu(), progress=False)
