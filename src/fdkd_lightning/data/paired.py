"""Samples of several modalities from files: decoded once, then read from their compact form."""

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset, DistributedSampler

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.dataset import LABEL_MAP, PairedDataset
from fdkd_lightning.data.preparation.coverage import Report
from fdkd_lightning.data.preparation.manifest_file import Row, manifest_name, read_manifest
from fdkd_lightning.data.preparation.prepare import prepare
from fdkd_lightning.data.preparation.recipe import MediaRecipe, Recipe
from fdkd_lightning.data.preparation.table import Sample, check_samples, classes_of, draw_validation
from fdkd_lightning.data.sampling import EpochSampler, balanced_weights, stratified_order
from fdkd_lightning.ops.checks import check_range
from fdkd_lightning.types import IGNORE_INDEX, Batch


class PairedDataModule(MultimodalDataModule):
    """What sets of files share: preparing, splits, labels, views.

    A subclass overrides :meth:`read_samples` and :meth:`default_recipes`, and where it needs to
    :meth:`default_transforms`, :meth:`label_recipe`, ``class_names`` (else the labels that occur),
    ``own_val_fraction`` and ``aligned``. It knows nothing of files' contents. What may be chosen in
    loading is here; a variant of a set is a class of its own.

    Args:
        root: Folder of the sources, below which all of them must lie.
        recipes: Modality -> how it is decoded and loaded, in place of the set's own.
        batch_size: Samples per batch and process.
        eval_batch_size: The same where nothing is trained; None: ``batch_size``.
        num_workers: Loader processes; 0 loads in the process that trains.
        modalities: The modalities to decode and load; None: all of the set's.
        optional_modalities: Samples that lack one of these, or whose file is broken, are kept if
            they have another; lacking one of the other ``modalities`` they are left out.
        seed: Draws the order of training samples, their views and those that keep their label.
        transforms: Modality -> module applied to its batch, in place of the set's own.
        labelled: Training samples that keep their label, the same number of each class as far as
            possible; the others get -100. None: all.
        balance: Draw training samples so that all classes are equally frequent, with replacement.
        val_fraction: Part of the training samples that become the validation split, where the set
            has none: of each class alike, or whole groups where it has groups. None: the set's own
            split, or else its ``own_val_fraction``.
        split_seed: Draws that part.
        prepared: Folder of the prepared form; None: ``prepared`` in ``root``.
        prepare_workers: Processes that decode; None: one for each CPU.
        min_coverage: Least share of each split's samples that must be decoded.
        views: Name -> modality of which the batch holds one more view under that name, so that a
            teacher may see a sample otherwise than a student of its modality does. ``recipes`` and
            ``transforms`` may name it; what they do not name is as the modality's.

    Shape:
        - batch[modality]: [N, ...], as the recipe says; a list where the samples' shapes differ
        - batch["present"]: modality -> [N] bool, for those of ``modalities`` that are optional;
          where it is False the modality is blank: a teacher of it teaches nothing with that
          sample, and a network of it neither learns nor is measured with it
        - batch["label"]: [N] int64; [N, H, W] where each pixel has one
        - batch["index"]: [N] int64, the sample's place in the set, from 0

    Raises:
        ValueError: If an argument is out of range; once the samples are read, if one is not to be
            trusted, or a split is empty.
        CoverageError: In ``prepare_data``, if less is there.
    """

    own_val_fraction: ClassVar[float | None] = None
    aligned: ClassVar[bool] = False
    loading_arguments = (*MultimodalDataModule.loading_arguments, "prepared", "prepare_workers")

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
    ) -> None:
        own, views = self.default_recipes(), views or {}
        chosen = own | {m: r for m, r in (recipes or {}).items() if m not in views}
        _check_names([*chosen, *views])
        self.available_modalities = tuple(chosen)
        selected = self._select(modalities)
        self.views = _check_views(views, selected)
        for name, modality in self.views.items():
            chosen[name] = (recipes or {}).get(name, chosen[modality])
        self.available_modalities = tuple(chosen)
        super().__init__(
            root,
            batch_size,
            eval_batch_size,
            num_workers,
            [*selected, *views],
            seed,
            transforms,
        )
        if not set(optional_modalities) <= set(chosen):
            raise ValueError(
                f"optional_modalities={list(optional_modalities)} must be of {list(chosen)}"
            )
        if labelled is not None:
            check_range("labelled", labelled, 1)
        if val_fraction is not None and not 0 < val_fraction < 1:
            raise ValueError(f"val_fraction={val_fraction} must be above 0 and below 1, or None")
        check_range("split_seed", split_seed, 0)
        if prepare_workers is not None:
            check_range("prepare_workers", prepare_workers, 1)
        check_range("min_coverage", min_coverage, 0, 1)
        self.recipes = {name: chosen[name] for name in self.modalities}
        if balance and self.label_recipe() is not None:
            raise ValueError("balance=True needs one class per sample, and here each pixel has one")
        self.optional_modalities = tuple(
            m for m in self.modalities if self.views.get(m, m) in optional_modalities
        )
        self.labelled = labelled
        self.balance = balance
        self.val_fraction = val_fraction
        self.split_seed = split_seed
        self.prepared = self.root / "prepared" if prepared is None else Path(prepared).expanduser()
        self.prepare_workers = prepare_workers
        self.min_coverage = min_coverage

    def read_samples(self) -> list[Sample]:
        """All samples of the set, in an order that does not change, whatever is selected."""
        # Not abstract: LightningDataModule's metaclass knows no abstract methods.
        raise NotImplementedError(f"{type(self).__name__} must override read_samples")

    def default_recipes(self) -> dict[str, Recipe]:
        """Modality -> how it is decoded and loaded where ``recipes`` does not say."""
        return {}

    def label_recipe(self) -> MediaRecipe | None:
        """How the source ``label_map`` becomes a class per pixel; None: one class per sample."""
        return None

    @cached_property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]  # a base's may be set
        """Names of the classes, in the order of their numbers."""
        return classes_of(self._read)

    @cached_property
    def samples(self) -> list[Sample]:
        """All samples, checked, with a validation split."""
        media = [m for m, recipe in self._prepared.items() if isinstance(recipe, MediaRecipe)]
        check_samples(self._read, self.class_names, media)
        has_val = any(sample.split == "val" for sample in self._read)
        fraction = self.val_fraction
        if fraction is None and not has_val:
            fraction = self.own_val_fraction
        if fraction is None:
            return self._read
        if has_val:
            raise ValueError(
                f"val_fraction={self.val_fraction}, but the set has a validation split: "
                "leave val_fraction out, or name that split train"
            )
        return draw_validation(self._read, fraction, self.split_seed)

    def prepare(self, dry_run: bool = False) -> Report:
        """Decode what is not decoded yet; with ``dry_run`` only say what there is to do."""
        return prepare(
            self.samples,
            self.root,
            self.prepared,
            self._prepared,
            self.prepare_workers,
            self.min_coverage,
            dry_run,
        )

    def prepare_data(self) -> None:
        """Decode what is not decoded yet, and say what there is if that is news or lacks some."""
        report = self.prepare()
        # For run.json: split -> status -> number of samples.
        self.coverage = {split: dict(counts) for split, counts in report.statuses.items()}
        if report.decoded or report.faults:
            rank_zero_info(f"Prepared in {self.prepared}:\n{report}")

    def make_dataset(self, split: str) -> PairedDataset:
        """A split's samples that lack none of the modalities they must have."""
        manifest = self.prepared / manifest_name(self.samples, self._prepared)
        rows = read_manifest(manifest, self._prepared)
        if [row.id for row in rows] != [sample.id for sample in self.samples]:
            raise RuntimeError(f"{manifest} was changed: delete it, and call prepare_data()")
        needed = set(self.modalities) - set(self.optional_modalities)
        kept = [
            (position, row)
            for position, row in enumerate(rows)
            if row.split == split
            and any(name in row.sources for name in self.recipes)
            and needed <= row.sources.keys()
            # A map of labels may not be there, but not fail.
            and (LABEL_MAP in row.sources or LABEL_MAP not in self.samples[position].sources)
        ]
        if not kept:
            remedy = ": give val_fraction" if split == "val" else ""
            raise ValueError(
                f"split {split!r} has no sample with {', '.join(sorted(needed)) or 'anything'} "
                f"(see {manifest}){remedy}"
            )
        label = self._labels([row for _, row in kept])
        if split == "train" and self.labelled is not None:
            label = self._mask(label)
        index = np.array([position for position, _ in kept], np.int64)
        return PairedDataset(
            self.prepared,
            self.recipes,
            [row for _, row in kept],
            label,
            index,
            self.optional_modalities,
            self.seed,
            self.aligned,
            self.label_recipe(),
        )

    def make_sampler(
        self, dataset: Dataset[Batch], processes: int, rank: int, seed: int
    ) -> DistributedSampler[Any]:
        """An order that tells the data set the epoch; with ``balance``, weighted."""
        assert isinstance(dataset, PairedDataset)
        weights = balanced_weights(dataset.label.numpy()) if self.balance else None
        return EpochSampler(dataset, processes, rank, seed, weights)

    def _labels(self, rows: Sequence[Row]) -> NDArray[np.int64]:
        if self.label_recipe() is not None:
            has_map = [LABEL_MAP in row.sources for row in rows]
            return np.where(has_map, 0, IGNORE_INDEX).astype(np.int64)
        number = {name: k for k, name in enumerate(self.class_names)} | {"": IGNORE_INDEX}
        return np.array([number[row.label] for row in rows], np.int64)

    def _mask(self, label: NDArray[np.int64]) -> NDArray[np.int64]:
        assert self.labelled is not None
        has_label = np.flatnonzero(label != IGNORE_INDEX)
        check_range("labelled", self.labelled, 1, len(has_label))
        masked = np.full_like(label, IGNORE_INDEX)
        chosen = has_label[stratified_order(label[has_label], self.seed)[: self.labelled]]
        masked[chosen] = label[chosen]
        return masked

    @cached_property
    def _prepared(self) -> dict[str, Recipe]:
        """What is prepared: the modalities, and the maps of labels where there are such."""
        recipe = self.label_recipe()
        return self.recipes if recipe is None else self.recipes | {LABEL_MAP: recipe}

    @cached_property
    def _read(self) -> list[Sample]:
        samples = self.read_samples()
        if not samples:
            raise ValueError(f"root={self.root}: the set has no samples")
        return [self._viewed(sample) for sample in samples] if self.views else samples

    def _viewed(self, sample: Sample) -> Sample:
        """The sample, with the sources of its views."""
        sources, members = dict(sample.sources), dict(sample.members)
        for name, modality in self.views.items():
            for own in (sources, members):
                if modality in own:
                    own[name] = own[modality]
        return sample._replace(sources=sources, members=members)

    def _transforms(self, transforms: Mapping[str, nn.Module]) -> nn.ModuleDict:
        chosen = super()._transforms(transforms)
        for name, modality in self.views.items():
            # A copy: in training it draws for itself.
            if name not in chosen and modality in chosen:
                chosen[name] = copy.deepcopy(chosen[modality])
        return chosen


def _check_names(names: Sequence[str]) -> None:
    taken = {"id", "split", "label", "index", "present", "status", "reason", "start", "duration"}
    for name in names:
        if name in taken | {LABEL_MAP} or not name.isidentifier():
            raise ValueError(
                f"recipes: {name!r} cannot be a modality's name; one word that is none of "
                f"{', '.join(sorted(taken))} can"
            )
    if not names:
        raise ValueError("recipes={}: name at least one modality")


def _check_views(views: Mapping[str, str], modalities: Sequence[str]) -> dict[str, str]:
    for name, modality in views.items():
        if name in modalities or modality not in modalities:
            raise ValueError(
                f"views={dict(views)}: {name!r} must be a new name, and {modality!r} one of the "
                f"modalities {list(modalities)}"
            )
    return dict(views)
