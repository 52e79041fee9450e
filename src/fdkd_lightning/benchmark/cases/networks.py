"""The networks and the synthetic pairs that steps are measured with."""

from typing import NamedTuple

import torch
from torch import nn
from torch.utils.data import Dataset

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.decoupler.frequency import FrequencyDecoupler
from fdkd_lightning.losses.alignment import SharedAlignmentHead
from fdkd_lightning.losses.fdkd import FDKDLoss
from fdkd_lightning.models.resnet import ResNet
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.types import Batch

CLASSES = 10
TEACHER, STUDENT = "audio", "visual"


class Setting(NamedTuple):
    """Size of a pair of equal networks and of their batches.

    Args:
        name: Name in the table.
        layers: Blocks per stage.
        channels: Channels per stage.
        side: Height and width of the input.
        batch: Samples per batch.
        steps: Steps that are timed in one go.
    """

    name: str
    layers: tuple[int, int, int, int]
    channels: tuple[int, int, int, int]
    side: int
    batch: int
    steps: int

    def network(self, seed: int = 0) -> ResNet:
        """Return a network."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return ResNet(CLASSES, 3, self.layers, self.channels, stem_pool=self.side > 32)

    def teacher(self) -> ResNet:
        """Return a frozen network with other weights."""
        return self.network(1).requires_grad_(False).eval()

    def criterion(self) -> FDKDLoss:
        """Return FD-CMKD as published, with classifiers of the right size."""
        heads = SharedAlignmentHead(self.channels[-1], CLASSES)
        return FDKDLoss(FrequencyDecoupler(), heads)

    def module(self, teacher: nn.Module) -> DistillationModule:
        """Return the module that distils a teacher into a network."""
        return DistillationModule(
            *(self.network(), {TEACHER: teacher}, self.criterion(), STUDENT),
            teacher_check_batches=0,
        )


RESNET_18 = Setting("ResNet-18, 8x3x96x96", (2, 2, 2, 2), (64, 128, 256, 512), 96, 8, 6)
SMALL = Setting("ResNet-10 of 64 channels, 32x3x32x32", (1, 1, 1, 1), (8, 16, 32, 64), 32, 32, 20)


class SyntheticPairs(MultimodalDataModule):
    """Pairs of random images in memory.

    Args:
        setting: Their size.
        batches: Number of batches of the training split.
        modalities: Modalities to load.

    Example:
        >>> data = SyntheticPairs(SMALL, batches=2, modalities=("visual",))
        >>> data.setup("fit")
        >>> sorted(next(iter(data.train_dataloader())))
        ['index', 'label', 'visual']
    """

    class_names = tuple(f"class {k}" for k in range(CLASSES))
    available_modalities = (TEACHER, STUDENT)

    def __init__(
        self,
        setting: Setting,
        batches: int = 8,
        modalities: tuple[str, ...] = (TEACHER, STUDENT),
    ) -> None:
        super().__init__(batch_size=setting.batch, modalities=modalities)
        self.setting, self.batches = setting, batches

    def make_dataset(self, split: str) -> Dataset[Batch]:
        """Return the samples of a split; validation has one batch."""
        batches = self.batches if split == "train" else 1
        first = {"train": 0, "val": 1, "test": 2}[split] * 10**6
        return _Images(self.setting, batches * self.setting.batch, first, self.modalities)


class _Images(Dataset[Batch]):
    def __init__(
        self, setting: Setting, size: int, first: int, modalities: tuple[str, ...]
    ) -> None:
        generator = torch.Generator().manual_seed(first)
        shape = size, 3, setting.side, setting.side
        self.index = torch.arange(first, first + size)
        self.images = {m: torch.randn(shape, generator=generator) for m in modalities}
        self.skipped: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> Batch:
        images = {m: x[i] for m, x in self.images.items() if m not in self.skipped}
        return {**images, "label": i % CLASSES, "index": self.index[i]}
