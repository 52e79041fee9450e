"""Which rows a teacher cache has, and in which shards: a function of data and settings."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.utils.data import DataLoader, IterableDataset

from fdkd_lightning.data.sampling import EpochSampler
from fdkd_lightning.training.cache.cache_store import EVALUATION

MOST_ROWS = 16_384
MOST_BYTES = 64 * 2**20
"""Largest shard: what a build that is killed loses, and holds in memory."""


class Section(NamedTuple):
    """The samples of a split in one view.

    Args:
        split: ``"train"`` or ``"val"``.
        view: 0 as in evaluation, else the number of a training view.
        loader: The data module's loader of the split.
        by_epoch: Whether the data set draws the training view from (epoch, position).
    """

    split: str
    view: int
    loader: DataLoader[Any]
    by_epoch: bool

    @property
    def dataset(self) -> Any:
        """The samples."""
        return self.loader.dataset

    def item(self, position: int) -> Any:
        """Return that with which the data set is indexed."""
        drawn = self.by_epoch and self.view != EVALUATION
        return (self.view - 1, position) if drawn else position


class ShardPlan(NamedTuple):
    """The rows of a shard: positions ``start`` to ``stop`` of a section."""

    number: int
    section: Section
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Name of the file."""
        return f"shard-{self.number:05d}.safetensors"

    def of(self, split: str, most: int) -> bool:
        """Return whether it holds a view of a split, from 0 to a number."""
        return self.section.split == split and self.section.view <= most

    def batches(self, batch_size: int) -> list[list[Any]]:
        """Return the items of each batch; the last is filled from the beginning of the section.

        All batches are of one size: on some processors the last bits of a network's output depend
        on the number of samples beside it.
        """
        size = len(self.section.dataset)
        return [
            [self.section.item(p % size) for p in range(start, start + batch_size)]
            for start in range(self.start, self.stop, batch_size)
        ]


def sections_of(data: LightningDataModule, views: int) -> list[Section]:
    """Return the sections of a data module that is set up: training, then validation.

    Raises:
        TypeError: If a loader's samples cannot be read by position.
        ValueError: If training has no samples.
    """
    loaders = {"train": data.train_dataloader()}
    if is_overridden("val_dataloader", data):
        loaders["val"] = data.val_dataloader()
    found = []
    for split, loader in loaders.items():
        if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
            raise TypeError(
                f"the {split} loader of {type(data).__name__} is of type {type(loader).__name__}: "
                "a cache needs one DataLoader, with a data set that is read by position"
            )
        by_epoch = isinstance(loader.sampler, EpochSampler)
        numbers = range(1, views + 1) if split == "train" and views else [EVALUATION]
        found += [Section(split, view, loader, by_epoch) for view in numbers]
    if not len(found[0].dataset):
        raise ValueError(f"{type(data).__name__} has no training samples: check its folder")
    return found


def plan_shards(sections: Sequence[Section], shard_rows: int) -> list[ShardPlan]:
    """Cut sections into shards.

    Example:
        >>> loader = DataLoader(range(5))
        >>> plan_shards([Section("train", 0, loader, False)], 4)[1][2:]
        (4, 5)
    """
    parts = [
        (section, start, min(start + shard_rows, len(section.dataset)))
        for section in sections
        for start in range(0, len(section.dataset), shard_rows)
    ]
    return [ShardPlan(number, *part) for number, part in enumerate(parts)]


def rows_per_shard(row_bytes: int, batch_size: int) -> int:
    """Return the number of rows of a shard, a multiple of the batch size.

    Example:
        >>> rows_per_shard(row_bytes=1024, batch_size=100)
        16300
    """
    rows = min(MOST_ROWS, MOST_BYTES // max(row_bytes, 1))
    return max(rows // batch_size, 1) * batch_size
