"""Base class of data modules whose samples are files, decoded once into compact forms."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch.utilities import rank_zero_info
from torch import nn
from torch.utils.data import Dataset, DistributedSampler

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.dataset import PairedDataset, usable_positions
from fdkd_lightning.data.labels import class_indices, keep_labels, map_labels
from fdkd_lightning.data.paired_files import PairedFiles
from fdkd_lightning.data.preparation.prepare import read_rows
from fdkd_lightning.data.preparation.recipe import Recipe
from fdkd_lightning.data.preparation.source_files import Compare
from fdkd_lightning.data.sample_rates import check_sample_rates
from fdkd_lightning.data.sampling import EpochSampler, balanced_weights
from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.types import Batch


class PairedDataModule(PairedFiles, MultimodalDataModule):
    """Base class of data modules whose samples are files: preparation, splits, labels and views.

    Subclasses override :meth:`read_samples` and :meth:`default_recipes`, and where needed
    :meth:`default_transforms`, :meth:`label_recipe` and the class attributes ``class_names``
    (default: the labels that occur), ``own_val_fraction`` (default of ``val_fraction`` for a data
    set without a validation split) and ``aligned`` (one view of a sample for all modalities).

    Args:
        root: Folder of the source files; all of them must be below it.
        recipes: Modality -> recipe that decodes and loads it; overrides those of the data set.
        batch_size: Samples per batch on each rank.
        eval_batch_size: Samples per batch outside of training; None: ``batch_size``.
        num_workers: Number of loader processes; 0 loads in the main process.
        modalities: Modalities to decode and load; None: all modalities of the data set.
        optional_modalities: Modalities that a sample may lack, or whose file may be faulty, as long
            as it has another. Samples without one of the other ``modalities`` are left out.
        seed: Seed of the order of training samples, their views and the choice of ``labelled``.
        transforms: Modality -> module applied to its batch; overrides those of the data set.
        labelled: Number of training samples that keep their label, the same number of each class as
            far as possible; the others get -100. None: all.
        balance: Draw training samples with replacement, such that all classes are equally frequent.
        val_fraction: Fraction of the training samples, by class or in whole groups, that becomes
            the validation split, if the data set has none; None: ``own_val_fraction``.
        split_seed: Seed of this split.
        prepared: Folder of the prepared data; None: ``prepared`` in ``root``.
        prepare_workers: Number of decoding processes, 0: none; None: the CPUs that may be used.
        min_coverage: Smallest fraction of the samples of each split that must be usable.
        views: Name -> modality that the batch shows a second time under this name, so that a
            teacher may receive another view than a student of the same modality. ``recipes`` and
            ``transforms`` may name a view; it otherwise has those of the modality.
        lists: Folder of the lists or tables; None: ``root``.
        follow_links: Allow links in ``root`` and ``lists`` to files outside of them.
        compare: What distinguishes versions of a source file, of which a new one is decoded again:
            ``"time"`` (size and modification time), or ``"content"`` (a hash, for which all files
            are read at each start; for copies that do not keep the time).

    Shape:
        - batch[modality]: [N, ...], as the recipe documents; a list if the shapes of samples differ
        - batch["present"]: modality -> [N] bool, for the optional ones of ``modalities``. If False
          it is blank, a teacher of it is not used, and a student of it not trained or evaluated
        - batch["label"]: [N] int64; [N, H, W] with a class for each pixel
        - batch["index"]: [N] int64, the position of the sample in the data set, from 0

    Raises:
        TypeError, ValueError: If an argument or a sample is invalid, or a split is empty.
        CoverageError: In ``prepare_data``, if a split has fewer usable samples.

    Example:
        >>> from fdkd_lightning.data.preparation.recipe import TextRecipe
        >>> class Names(PairedDataModule):
        ...     def read_samples(self): return [Sample("a", "train", "owl", {"text": "an owl"})]
        ...     def default_recipes(self): return {"text": TextRecipe()}
        >>> Names("birds").modalities
        ('text',)
    """

    aligned: ClassVar[bool] = False
    loading_arguments = (
        *MultimodalDataModule.loading_arguments,
        *("prepared", "prepare_workers", "lists", "follow_links", "compare"),
    )
    choice_arguments = (*MultimodalDataModule.choice_arguments, "seed")

    def __init__(
        self,
        root: str | Path,
        recipes: dict[str, Recipe] | None = None,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        modalities: Sequence[str] | None = None,
        optional_modalities: Sequence[str] = (),
        seed: int = 0,
        transforms: dict[str, nn.Module] | None = None,
        labelled: int | None = None,
        balance: bool = False,
        val_fraction: float | None = None,
        split_seed: int = 0,
        prepared: str | Path | None = None,
        prepare_workers: int | None = None,
        min_coverage: float = 0.9,
        views: dict[str, str] | None = None,
        lists: str | Path | None = None,
        follow_links: bool = False,
        compare: Compare = "time",
    ) -> None:
        PairedFiles.__init__(
            *(self, root, recipes, modalities, optional_modalities, val_fraction, split_seed),
            *(prepared, prepare_workers, min_coverage, views, lists, follow_links, compare),
        )
        loading = (batch_size, eval_batch_size, num_workers)
        MultimodalDataModule.__init__(self, root, *loading, self.modalities, seed, transforms)
        check_sample_rates(self.recipes, self.transforms)
        if labelled is not None:
            check_count("labelled", labelled)
        if balance and self.label_recipe() is not None:
            raise ValueError("balance=True needs one class per sample, but here each pixel has one")
        self.labelled = labelled
        self.balance = balance

    def prepare_data(self) -> None:
        """Decode the files that are not decoded yet; log the coverage if new or with faults."""
        report = self.prepare()
        self.coverage = report.counts()  # for run.json
        if report.decoded or report.faults or report.left_out:
            rank_zero_info(f"Prepared in {self.prepared}:\n{report}")

    def make_dataset(self, split: str) -> PairedDataset:
        """Return the samples of a split that have all modalities which are not optional."""
        recipe = self.label_recipe()
        folders = (self.samples, self.root, self.prepared, self._prepared)
        rows = read_rows(*folders, self.follow_links, self.compare)
        optional = self.optional_modalities
        positions = usable_positions(rows, self.samples, split, self.modalities, optional)
        kept = [rows[position] for position in positions]
        label = class_indices(kept, self.class_names) if recipe is None else map_labels(kept)
        if split == "train" and self.labelled is not None:
            label = keep_labels(label, self.labelled, self.seed)
        return PairedDataset(
            *(self.prepared, self.recipes, kept, label, np.array(positions, np.int64)),
            *(optional, self.seed, self.aligned, recipe),
        )

    def make_sampler(
        self, dataset: Dataset[Batch], num_replicas: int, rank: int, seed: int
    ) -> DistributedSampler[Any]:
        """Return a sampler of (epoch, position), weighted by class with ``balance``."""
        assert isinstance(dataset, PairedDataset)
        weights = balanced_weights(dataset.label.numpy()) if self.balance else None
        return EpochSampler(dataset, num_replicas, rank, seed, weights)

    def _transforms(self, transforms: Mapping[str, nn.Module]) -> nn.ModuleDict:
        chosen = super()._transforms(transforms)
        for name, modality in self.views.items():
            # A copy: in training the two draw independently.
            if name not in chosen and modality in chosen:
                chosen[name] = copy.deepcopy(chosen[modality])
        return chosen
