"""Samples of several modalities from files: decoded once, then read from their compact form."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset, DistributedSampler

from fdkd_lightning.data.base import MultimodalDataModule, check_range
from fdkd_lightning.data.prepare import Report, Row, manifest_name, prepare, read_manifest
from fdkd_lightning.data.recipe import MediaRecipe, Recipe
from fdkd_lightning.data.sampling import EpochSampler, balanced_weights, stratified_order
from fdkd_lightning.data.table import Sample, check_samples, classes_of, draw_validation
from fdkd_lightning.types import IGNORE_INDEX, Batch


class PairedDataset(Dataset[Batch]):
    """One split, read from the prepared folder sample by sample.

    A sample is asked for by its position, which gives the view of evaluation, or by a pair (epoch,
    position), as :class:`~fdkd_lightning.data.sampling.EpochSampler` does, which gives that
    epoch's own view.

    Args:
        folder: The prepared folder.
        recipes: Modality -> how it is loaded; only these are.
        rows: The samples.
        label: Their labels, [N].
        index: Their ids within the set, [N].
        optional: Modalities that a sample may lack.
        seed: Draws the views, with epoch, index and modality.

    Shape:
        - sample[modality]: as the recipe gives it; its blank where the sample lacks it
        - sample["present"]: modality -> whether the sample has it, for ``optional``; without such
          there is no such entry
        - sample["label"], sample["index"]: [] int64

    Raises:
        RuntimeError: If a compact form is missing or damaged.
    """

    def __init__(
        self,
        folder: Path,
        recipes: Mapping[str, Recipe],
        rows: Sequence[Row],
        label: NDArray[np.int64],
        index: NDArray[np.int64],
        optional: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        self.folder = folder
        self.recipes = dict(recipes)
        self.sources = {name: _Texts(row.sources.get(name, "") for row in rows) for name in recipes}
        self.label = torch.from_numpy(label)
        self.index = torch.from_numpy(index)
        self.optional = tuple(optional)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, position: int | tuple[int, int]) -> Batch:
        epoch, i = position if isinstance(position, tuple) else (None, position)
        if not 0 <= i < len(self):
            raise IndexError(f"position {i} of {len(self)} samples")
        sample: Batch = {"label": self.label[i], "index": self.index[i]}
        present = {}
        for name, recipe in self.recipes.items():
            source = self.sources[name][i]
            if name in self.optional:
                present[name] = source != ""
            if not source:
                sample[name] = recipe.blank()
                continue
            rng = None
            if epoch is not None:
                # One of its own, so that other modalities and samples leave it as it is.
                own = (self.seed, epoch, int(self.index[i]), zlib.crc32(name.encode()))
                rng = np.random.default_rng(own)
            sample[name] = self._load(recipe, source, rng)
        if present:
            sample["present"] = present
        return sample

    def _load(self, recipe: Recipe, source: str, rng: np.random.Generator | None) -> Any:
        if not isinstance(recipe, MediaRecipe):
            return recipe.load(source, rng)
        path = self.folder / source
        try:
            return recipe.load(path, rng)
        except Exception as error:
            raise RuntimeError(
                f"{path} cannot be read ({error}): delete it if it is there, and prepare_data() "
                "makes it anew"
            ) from error


class PairedDataModule(MultimodalDataModule):
    """What sets of files share: preparing, splits, labels, views.

    A subclass overrides :meth:`read_samples`, and knows nothing of files' contents.

    Args:
        root: Folder of the sources, below which all of them must lie.
        recipes: Modality -> how it is decoded and loaded.
        class_names: The classes, in the order of their numbers; None: the labels that occur, in
            numerical or else alphabetical order.
        batch_size: Samples per batch and process.
        eval_batch_size: The same where nothing is trained; None: ``batch_size``.
        num_workers: Loader processes; 0 loads in the process that trains.
        modalities: The modalities to decode and load; None: all that ``recipes`` names.
        optional_modalities: Samples that lack one of these, or whose file is broken, are kept if
            they have another; lacking one of the other ``modalities`` they are left out.
        seed: Draws the order of training samples, their views and those that keep their label.
        transforms: Modality -> module applied to its batch; None: the set's own.
        labelled: Training samples that keep their label, the same number of each class as far as
            possible; the others get -100. None: all.
        balance: Draw training samples so that all classes are equally frequent, with replacement.
        val_fraction: Part of the training samples that become the validation split, where the set
            has none: of each class alike, or whole groups where it has groups. None: the set's own
            validation split, which it must have.
        split_seed: Draws that part.
        prepared: Folder of the prepared form; None: ``prepared`` in ``root``.
        prepare_workers: Processes that decode; None: one for each CPU.
        min_coverage: Least share of each split's samples that must be decoded.

    Shape:
        - batch[modality]: [N, ...], as the recipe says
        - batch["present"]: modality -> [N] bool, for those of ``modalities`` that are optional;
          where it is False the modality is blank, and is to teach nothing
        - batch["index"]: [N] int64, the sample's place in the set, from 0

    Raises:
        ValueError: If an argument is out of range; once the samples are read, if one is not to be
            trusted, or a split is empty.
        CoverageError: In ``prepare_data``, if less is there.
    """

    def __init__(
        self,
        root: str | Path,
        recipes: dict[str, Recipe],
        class_names: Sequence[str] | None = None,
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
    ) -> None:
        _check_names(recipes)
        self.available_modalities = tuple(recipes)
        super().__init__(
            root, batch_size, eval_batch_size, num_workers, modalities, seed, transforms
        )
        if not set(optional_modalities) <= recipes.keys():
            raise ValueError(
                f"optional_modalities={list(optional_modalities)} must be of {list(recipes)}"
            )
        if labelled is not None:
            check_range("labelled", labelled, 1)
        if val_fraction is not None and not 0 < val_fraction < 1:
            raise ValueError(f"val_fraction={val_fraction} must be above 0 and below 1, or None")
        check_range("split_seed", split_seed, 0)
        if prepare_workers is not None:
            check_range("prepare_workers", prepare_workers, 1)
        check_range("min_coverage", min_coverage, 0, 1)
        self.recipes = {name: recipes[name] for name in self.modalities}
        self._class_names = None if class_names is None else tuple(class_names)
        if self._class_names and len(set(self._class_names)) < len(self._class_names):
            raise ValueError(f"class_names={list(self._class_names)} holds one twice")
        self.optional_modalities = tuple(m for m in self.modalities if m in optional_modalities)
        self.labelled = labelled
        self.balance = balance
        self.val_fraction = val_fraction
        self.split_seed = split_seed
        self.prepared = self.root / "prepared" if prepared is None else Path(prepared).expanduser()
        self.prepare_workers = prepare_workers
        self.min_coverage = min_coverage

    def read_samples(self) -> list[Sample]:
        """All samples of the set, in an order that does not change, whatever is selected."""
        raise NotImplementedError(f"{type(self).__name__} must override read_samples")

    @cached_property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]  # a base's may be set
        """Names of the classes, in the order of their numbers."""
        return classes_of(self._read) if self._class_names is None else self._class_names

    @cached_property
    def samples(self) -> list[Sample]:
        """All samples, checked, with a validation split."""
        media = [name for name, recipe in self.recipes.items() if isinstance(recipe, MediaRecipe)]
        check_samples(self._read, self.class_names, media)
        has_val = any(sample.split == "val" for sample in self._read)
        if self.val_fraction is None:
            return self._read
        if has_val:
            raise ValueError(
                f"val_fraction={self.val_fraction}, but the set has a validation split: "
                "leave val_fraction out, or name that split train"
            )
        return draw_validation(self._read, self.val_fraction, self.split_seed)

    def prepare(self, dry_run: bool = False) -> Report:
        """Decode what is not decoded yet; with ``dry_run`` only say what there is to do."""
        return prepare(
            self.samples,
            self.root,
            self.prepared,
            self.recipes,
            self.prepare_workers,
            self.min_coverage,
            dry_run,
        )

    def prepare_data(self) -> None:
        """Decode what is not decoded yet, and say what there is if that is news or lacks some."""
        report = self.prepare()
        if report.decoded or report.faults:
            rank_zero_info(f"Prepared in {self.prepared}:\n{report}")

    def make_dataset(self, split: str) -> PairedDataset:
        """A split's samples that lack none of the modalities they must have."""
        manifest = self.prepared / manifest_name(self.samples, self.recipes)
        rows = read_manifest(manifest, self.recipes)
        if [row.id for row in rows] != [sample.id for sample in self.samples]:
            raise RuntimeError(f"{manifest} was changed: delete it, and call prepare_data()")
        needed = set(self.modalities) - set(self.optional_modalities)
        kept = [
            (position, row)
            for position, row in enumerate(rows)
            if row.split == split and row.sources and needed <= row.sources.keys()
        ]
        if not kept:
            remedy = ": give val_fraction" if split == "val" else ""
            raise ValueError(
                f"split {split!r} has no sample with {', '.join(sorted(needed)) or 'anything'} "
                f"(see {manifest}){remedy}"
            )
        number = {name: k for k, name in enumerate(self.class_names)} | {"": IGNORE_INDEX}
        label = np.array([number[row.label] for _, row in kept], np.int64)
        if split == "train" and self.labelled is not None:
            label = self._mask(label)
        index = np.array([position for position, _ in kept], np.int64)
        rows = [row for _, row in kept]
        optional = self.optional_modalities
        return PairedDataset(self.prepared, self.recipes, rows, label, index, optional, self.seed)

    def make_sampler(
        self, dataset: Dataset[Batch], processes: int, rank: int, seed: int
    ) -> DistributedSampler[Any]:
        """An order that tells the data set the epoch; with ``balance``, weighted."""
        assert isinstance(dataset, PairedDataset)
        weights = balanced_weights(dataset.label.numpy()) if self.balance else None
        return EpochSampler(dataset, processes, rank, seed, weights)

    def _mask(self, label: NDArray[np.int64]) -> NDArray[np.int64]:
        assert self.labelled is not None
        has_label = np.flatnonzero(label != IGNORE_INDEX)
        check_range("labelled", self.labelled, 1, len(has_label))
        masked = np.full_like(label, IGNORE_INDEX)
        chosen = has_label[stratified_order(label[has_label], self.seed)[: self.labelled]]
        masked[chosen] = label[chosen]
        return masked

    @cached_property
    def _read(self) -> list[Sample]:
        samples = self.read_samples()
        if not samples:
            raise ValueError(f"root={self.root}: the set has no samples")
        return samples


class _Texts(Sequence[str]):
    """Strings in one array: a list's would be copied to each worker, by and by, as it counts."""

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode() for text in texts]
        self.ends = np.cumsum([0, *map(len, encoded)])
        self.content = np.frombuffer(bytearray().join(encoded), np.uint8)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: Any) -> Any:
        return self.content[self.ends[i] : self.ends[i + 1]].tobytes().decode()


def _check_names(recipes: Mapping[str, Recipe]) -> None:
    taken = {"id", "split", "label", "index", "present", "status", "reason", "start", "duration"}
    for name in recipes:
        if name in taken or not name.isidentifier():
            raise ValueError(
                f"recipes: {name!r} cannot be a modality's name; one word that is none of "
                f"{', '.join(sorted(taken))} can"
            )
    if not recipes:
        raise ValueError("recipes={}: name at least one modality")
