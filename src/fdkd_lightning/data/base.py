"""Base class of all data modules: loaders, and transforms on the device."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning_utilities.core.apply_func import apply_to_collection
from platformdirs import user_cache_dir
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from fdkd_lightning.data.collate import collate
from fdkd_lightning.data.skipping import Skipping
from fdkd_lightning.data.views import select_modalities
from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.types import Batch

SPLITS_OF_STAGE = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("test",),
}


class MultimodalDataModule(LightningDataModule, ABC):
    """Base class of data modules: samples of several modalities, transformed on the device.

    Subclasses set ``class_names`` and ``available_modalities`` and override :meth:`make_dataset`,
    and where needed ``prepare_data``, ``make_sampler``, ``default_transforms`` and ``groups``.
    Their samples are dicts with an entry for each selected modality, ``"label"`` (-100: none) and
    ``"index"``, an id, unique in the whole data set, under which a teacher's outputs can be cached.
    Transforms run on whole batches in float32.

    Args:
        root: Folder of the data; None: the cache folder of the user.
        batch_size: Samples per batch on each rank.
        eval_batch_size: Samples per batch outside of training; None: ``batch_size``.
        num_workers: Number of loader processes; 0 loads in the main process.
        modalities: Modalities to load; None: all modalities of the data set.
        seed: Seed of the order of training samples (and of further draws of a subclass).
        transforms: Modality -> module applied to its batch; overrides the transforms of the data
            set. ``torch.nn.Identity`` keeps a modality as it is stored.

    Shape:
        - batch[modality]: [N, ...]
        - batch["label"]: [N] int64
        - batch["index"]: [N] int64

    Raises:
        TypeError: If a count or the seed is no whole number.
        ValueError: If a modality, or that of a transform, is unknown, or a number is out of range.

    Example:
        >>> class Zeros(MultimodalDataModule):
        ...     class_names, available_modalities = ("zero",), ("audio",)
        ...     def make_dataset(self, split):
        ...         return [{"audio": torch.zeros(4), "label": 0, "index": i} for i in range(3)]
        >>> data = Zeros(batch_size=2, transforms={"audio": nn.Flatten(0)})
        >>> data.setup("test")
        >>> data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)["audio"].shape
        torch.Size([8])
    """

    class_names: tuple[str, ...] = ()
    available_modalities: tuple[str, ...] = ()
    loading_arguments: tuple[str, ...] = (
        "root",
        "batch_size",
        "eval_batch_size",
        "num_workers",
        "modalities",
    )
    """Arguments about where and how the data are read, not about what they are."""
    choice_arguments: tuple[str, ...] = (
        *("labelled", "labelled_per_class", "balance", "train_size", "optional_modalities"),
        *("min_coverage", "transforms", "recipes", "views"),
    )
    """Arguments that choose samples, labels and orders, or that belong to one modality.

    A sample's input as in evaluation does not depend on them; teacher caches leave them out.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        modalities: Sequence[str] | None = None,
        seed: int = 0,
        transforms: dict[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        check_count("batch_size", batch_size)
        if eval_batch_size is not None:
            check_count("eval_batch_size", eval_batch_size)
        check_count("num_workers", num_workers, 0)
        check_count("seed", seed, 0)
        self.root = Path(user_cache_dir("fdkd_lightning") if root is None else root).expanduser()
        self.batch_size = batch_size
        self.eval_batch_size = batch_size if eval_batch_size is None else eval_batch_size
        self.num_workers = num_workers
        self.modalities = select_modalities(modalities, self.available_modalities)
        self.seed = seed
        self.transforms = self._transforms(transforms or {})
        self.datasets: dict[str, Dataset[Batch]] = {}
        self.skipped: frozenset[str] = frozenset()

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""
        return len(self.class_names)

    @abstractmethod
    def make_dataset(self, split: str) -> Dataset[Batch]:
        """Return the samples of ``"train"``, ``"val"`` or ``"test"``."""

    def groups(self, split: str) -> Sequence[int] | None:
        """Return the group of each sample of a loaded split, such as its person; None: unknown."""
        return None

    def make_sampler(
        self, dataset: Dataset[Batch], num_replicas: int, rank: int, seed: int
    ) -> DistributedSampler[Any]:
        """Return the sampler of training samples, whose order depends on seed and epoch alone.

        Args:
            dataset: The training samples.
            num_replicas: Number of ranks.
            rank: Rank of this process.
            seed: Seed of the order.
        """
        return DistributedSampler(dataset, num_replicas, rank, shuffle=True, seed=seed)

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """Return modality -> transform of the data set; it may name modalities not selected."""
        return {}

    def setup(self, stage: str) -> None:
        """Load the splits of a stage that are not loaded yet."""
        for split in SPLITS_OF_STAGE[stage]:
            if split not in self.datasets:
                self.datasets[split] = self.make_dataset(split)

    def skip_modalities(self, modalities: Collection[str] = ()) -> None:
        """Do not load modalities until the run ends: cached teachers need none.

        Which samples there are, and which of them have a modality, stays the same.
        """
        self.skipped = frozenset(modalities)
        for dataset in self.datasets.values():
            if isinstance(dataset, Skipping):
                dataset.skipped = self.skipped

    def teardown(self, stage: str) -> None:
        """Load all modalities again."""
        self.skip_modalities()

    def on_exception(self, exception: BaseException) -> None:
        """Load all modalities again."""
        self.skip_modalities()

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the training split, with another order in each epoch."""
        dataset = self.datasets["train"]
        num_replicas = self.trainer.world_size if self.trainer else 1
        rank = self.trainer.global_rank if self.trainer else 0
        # Lightning keeps a DistributedSampler, on a single rank too, and sets its epoch. The order
        # then depends on seed and epoch alone: it is the same for every method, whatever else draws
        # random numbers, and the same in a resumed run. The sampler adds the epoch to its seed; the
        # factor 10007 keeps epochs of one seed apart from those of the next.
        sampler = self.make_sampler(dataset, num_replicas, rank, 10_007 * self.seed)
        if self.trainer:
            # Workers prefetch before Lightning sets the epoch of a resumed run from this counter,
            # whose annotation is a base class without the attribute.
            epochs: Any = self.trainer.fit_loop.epoch_progress.current
            sampler.set_epoch(epochs.processed)
        # BatchNorm cannot train on a batch of one sample.
        drop_last = len(sampler) > self.batch_size and len(sampler) % self.batch_size == 1
        return self._loader(dataset, self.batch_size, sampler=sampler, drop_last=drop_last)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the validation split, in order."""
        return self._loader(self.datasets["val"], self.eval_batch_size)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the test split, in order."""
        return self._loader(self.datasets["test"], self.eval_batch_size)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the test split, in order."""
        return self._loader(self.datasets["test"], self.eval_batch_size)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Apply the transforms on the device of the batch, in train mode only while training."""
        training = self.trainer is not None and self.trainer.training
        self.transforms.train(training)
        device = batch["index"].device
        for modality, transform in self.transforms.to(device).items():
            if modality in self.skipped:
                continue
            # Autocast would compute spectrograms and their logarithms in bfloat16.
            with torch.autocast(device.type, enabled=False):
                x = transform(apply_to_collection(batch[modality], Tensor, _to_float32))
            # With a "true" precision the model takes its own dtype, whatever the stored one.
            batch[modality] = self.trainer.precision_plugin.convert_input(x) if self.trainer else x
        return batch

    def _loader(self, dataset: Dataset[Batch], batch_size: int, **order: Any) -> DataLoader[Batch]:
        # A loader draws its workers' seed before a resumed run restores the global generator.
        rank = self.trainer.global_rank if self.trainer else 0
        return DataLoader(
            dataset,
            batch_size=batch_size,
            collate_fn=collate,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            generator=torch.Generator().manual_seed(10_007 * self.seed + rank),
            pin_memory=torch.cuda.is_available(),
            **order,
        )

    def _transforms(self, transforms: Mapping[str, nn.Module]) -> nn.ModuleDict:
        for modality in transforms:  # also of one that is not loaded now, as by --data.modalities
            if modality not in self.available_modalities:
                raise ValueError(
                    f"transforms names {modality!r}, but the data has {self.available_modalities}: "
                    "correct the name, or remove the transform"
                )
        available = {**self.default_transforms(), **transforms}
        return nn.ModuleDict({m: available[m] for m in self.modalities if m in available})


def _to_float32(x: Tensor) -> Tensor:
    return x.float() if x.is_floating_point() else x
