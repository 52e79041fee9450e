"""The files of a data set: its samples and recipes, and their preparation, without torch."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from fdkd_lightning.data.label_names import clean_labels
from fdkd_lightning.data.paired_arguments import check_arguments
from fdkd_lightning.data.preparation.coverage import CoverageReport
from fdkd_lightning.data.preparation.paths import find_file, require_root
from fdkd_lightning.data.preparation.prepare import prepare
from fdkd_lightning.data.preparation.recipe import MediaRecipe, Recipe
from fdkd_lightning.data.preparation.sample import LABEL_MAP, Sample, check_samples, classes_of
from fdkd_lightning.data.preparation.source_files import Compare
from fdkd_lightning.data.preparation.validation_split import add_validation_split
from fdkd_lightning.data.views import add_views, check_names, check_views, select_modalities
from fdkd_lightning.ops.checks import check_choice


class PairedFiles(ABC):
    """Files of a data set, which ``fdkd prepare`` decodes; the data module adds what trains.

    Torch and Lightning take seconds to import and more memory than the samples of a large data set,
    which therefore has a class of its files alone, named like its data module and ``Files``.

    The arguments are those of the same name of
    :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Raises:
        TypeError, ValueError: If an argument is invalid.

    Example:
        >>> from fdkd_lightning.data.preparation.recipe import TextRecipe
        >>> class Names(PairedFiles):
        ...     def read_samples(self): return [Sample("a", "train", "owl", {"text": "an owl"})]
        ...     def default_recipes(self): return {"text": TextRecipe()}
        >>> Names("birds").modalities
        ('text',)
    """

    available_modalities: tuple[str, ...] = ()
    own_val_fraction: ClassVar[float | None] = None

    def __init__(
        self,
        root: str | Path,
        recipes: dict[str, Recipe] | None = None,
        modalities: Sequence[str] | None = None,
        optional_modalities: Sequence[str] = (),
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
        given, self.views = recipes or {}, dict(views or {})
        overrides = {name: recipe for name, recipe in given.items() if name not in self.views}
        available = self.default_recipes() | overrides
        check_names([*available, *self.views])
        self.available_modalities = tuple(available)
        selected = self._select(modalities)
        check_views(self.views, selected)
        for name, modality in self.views.items():
            available[name] = given.get(name, available[modality])
        self.available_modalities = tuple(available)
        self.modalities = (*selected, *self.views)
        for modality in optional_modalities:
            check_choice("optional_modalities", modality, available)
        check_arguments(val_fraction, split_seed, prepare_workers, min_coverage, compare)
        self.recipes = {name: available[name] for name in self.modalities}
        self.optional_modalities = tuple(
            m for m in self.modalities if self.views.get(m, m) in optional_modalities
        )
        self.root = Path(root).expanduser()
        self.val_fraction = val_fraction
        self.split_seed = split_seed
        self.prepared = self.root / "prepared" if prepared is None else Path(prepared).expanduser()
        self.prepare_workers = prepare_workers
        self.min_coverage = min_coverage
        self.lists = self.root if lists is None else Path(lists).expanduser()
        self.follow_links = follow_links
        self.compare = compare

    @abstractmethod
    def read_samples(self) -> list[Sample]:
        """Return all samples of the data set, in an order that does not depend on the selection."""

    def find_list(self, *names: str, advice: str) -> Path:
        """Return the first of several lists that exists in ``lists``; else raise with advice."""
        argument = "root" if self.lists == self.root else "lists"
        return find_file(self.lists, names, advice, self.follow_links, argument)

    def default_recipes(self) -> dict[str, Recipe]:
        """Return modality -> recipe for modalities that ``recipes`` does not name."""
        return {}

    def label_recipe(self) -> MediaRecipe | None:
        """Return the recipe of label maps; None if there is one class per sample."""
        return None

    def _occurring(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their indices."""
        return classes_of(self._read)

    class_names: tuple[str, ...] = cached_property(_occurring)  # type: ignore[assignment]  # mypy sees the property; a subclass may set a tuple, else the samples are read at first use

    @cached_property
    def samples(self) -> list[Sample]:
        """All samples, checked, with a validation split if one is to be drawn."""
        media = [m for m, recipe in self._prepared.items() if isinstance(recipe, MediaRecipe)]
        check_samples(self._read, self.class_names, media)
        return add_validation_split(
            self._read, self.val_fraction, self.own_val_fraction, self.split_seed
        )

    def prepare(self, dry_run: bool = False) -> CoverageReport:
        """Decode the files that are not decoded yet; with ``dry_run`` only report what would be."""
        return prepare(
            *(self.samples, self.root, self.prepared, self._prepared),
            *(self.prepare_workers, self.min_coverage, dry_run),
            optional=self.optional_modalities,
            follow_links=self.follow_links,
            compare=self.compare,
        )

    @cached_property
    def _prepared(self) -> dict[str, Recipe]:
        """Recipes of all that is prepared: the modalities and, if there are any, the label maps."""
        recipe = self.label_recipe()
        return self.recipes if recipe is None else self.recipes | {LABEL_MAP: recipe}

    @cached_property
    def _read(self) -> list[Sample]:
        samples = self.read_samples()
        if not samples:
            raise ValueError(f"root={self.root}: the data set has no samples")
        require_root(self.root, self.prepared, next(iter(samples[0].sources.values()), ""))
        derived = isinstance(
            inspect.getattr_static(self, "class_names"), cached_property | property
        )
        samples = clean_labels(samples, None if derived else self.class_names)
        return [add_views(sample, self.views) for sample in samples] if self.views else samples

    def _select(self, modalities: Sequence[str] | None) -> tuple[str, ...]:
        return select_modalities(modalities, self.available_modalities)
