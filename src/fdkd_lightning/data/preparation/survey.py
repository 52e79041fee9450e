"""Compare a prepared folder with the sources: what is prepared, what failed, what is to be done."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from tqdm import tqdm

from fdkd_lightning.data.preparation.job import Job, note_path, read_note
from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe.base import MediaRecipe, Part
from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.preparation.source_files import SourceFiles

KEY = 24
"""Digits of a name that stand for source and part; those after them stand for the version."""


class Survey:
    """State of each source in a prepared folder.

    A compact form is stored in a folder named after its recipe. Its name is a hash of source and
    part, and a hash of the version of the source file: a file that was overwritten is decoded
    again. If the source is gone, the compact form that there is counts.

    Args:
        samples: All samples.
        folder: The prepared folder.
        media: Modality -> recipe, the modalities to decode.
        files: The source files.
        progress: Show a progress bar.
        check: Check those that would be decoded, as far as this is possible without decoding.

    Raises:
        ValueError: If a source is a link to outside of the root.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        folder: Path,
        media: Mapping[str, MediaRecipe],
        files: SourceFiles,
        progress: bool = False,
        check: bool = False,
    ) -> None:
        self.samples = samples
        self.folder = folder
        self.media = media
        self.root = Path(files.root)
        self.forms: dict[str, list[str]] = {modality: [] for modality in media}
        """Modality -> path of each sample's compact form, relative to the folder; empty: none.

        If there is neither a source nor a compact form, it is the fault.
        """
        self.failures: dict[str, MediaError] = {}
        """Compact form -> fault of its source."""
        self.pending: dict[str, tuple[str, int]] = {}
        """Compact form -> modality and position of the first sample that needs it to be decoded."""
        self.superseded: dict[str, list[str]] = {}
        """Compact form -> names of earlier versions."""
        self.faults: dict[str, MediaError] = {}
        """Compact form -> fault that the check has found, of the ones to be decoded."""
        stores = [
            Store(name, recipe, folder / recipe_folder(recipe)) for name, recipe in media.items()
        ]
        bar = tqdm(samples, "Looking", unit="sample", delay=1, disable=not progress)
        for position, sample in enumerate(bar):
            self._compare(position, sample, stores, files, check)

    @property
    def jobs(self) -> "Jobs":
        """The files to decode, each once, in the order of the samples."""
        return Jobs(self)

    def part(self, modality: str, position: int) -> Part:
        """Return the part of a file that belongs to a sample."""
        return Part(*_part(self.samples[position], modality))

    def _compare(
        self,
        position: int,
        sample: Sample,
        stores: Sequence["Store"],
        files: SourceFiles,
        check: bool,
    ) -> None:
        previous: object = None
        for store in stores:
            modality = store.modality
            source = None if sample.fault else sample.sources.get(modality)
            if source is None:
                self.forms[modality].append("")
                continue
            # Often all modalities are in one file.
            source_and_part = source, *_part(sample, modality)
            if source_and_part != previous:
                previous, found, key = source_and_part, files.find(source), ""
            if found.fault is not None and not store.existing and not found.outside:
                # Hashing names is most of the work for a long list of absent files.
                form = str(found.fault)
                self.forms[modality].append(form)
                self.failures[form] = found.fault
                continue
            key = key or _key(source_and_part)
            others = store.existing.get(key, ())
            stem = f"{key}-{found.version}" if found.version else store.newest(key)
            form = f"{store.name}/{key[:2]}/{stem}{store.suffix}"
            self.forms[modality].append(form)
            is_prepared = others and f"{stem}{store.suffix}" in others
            if is_prepared or form in self.failures or form in self.pending:
                continue
            if found.outside:
                raise ValueError(
                    f"{sample.where}: {modality} {source!r} is a link to {found.outside}, outside "
                    f"of root={self.root}: set follow_links=true to allow it"
                )
            noted = others and f"{stem}.failed" in others
            failure = read_note(note_path(self.folder / form)) if noted else None
            failure = failure or found.fault
            if failure is not None:
                self.failures[form] = failure
                continue
            self.pending[form] = modality, position
            if others:
                self.superseded[form] = [other for other in others if stem not in other]
            if check and (fault := files.check(source)) is not None:
                self.faults[form] = fault


class Store:
    """Compact forms of a modality in a prepared folder.

    Args:
        modality: Name of the modality.
        recipe: Its recipe.
        folder: Folder of its compact forms.
    """

    def __init__(self, modality: str, recipe: MediaRecipe, folder: Path) -> None:
        self.modality = modality
        self.suffix = recipe.suffix
        self.name = folder.name
        self.existing = _existing(folder)
        """Key -> names of compact forms and notes, the newest last."""

    def newest(self, key: str) -> str:
        """Return the stem of the newest compact form or note of a source that is gone."""
        names = self.existing.get(key, ())
        forms = [name for name in names if name.endswith(self.suffix)]
        chosen = forms or [name for name in names if name.endswith(".failed")]
        return chosen[-1].rpartition(".")[0] if chosen else f"{key}-absent"


class Jobs(Sequence[Job]):
    """The jobs of a survey, made one by one: data sets have hundreds of thousands.

    Args:
        survey: The survey.
    """

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self.targets = [*survey.pending]

    def __len__(self) -> int:
        return len(self.targets)

    @overload
    def __getitem__(self, i: int) -> Job: ...

    @overload
    def __getitem__(self, i: slice) -> list[Job]: ...

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        form = self.targets[i]
        survey = self.survey
        modality, position = survey.pending[form]
        target = survey.folder / form
        return Job(
            survey.media[modality],
            survey.root / survey.samples[position].sources[modality],
            survey.part(modality, position),
            target,
            tuple(target.with_name(name) for name in survey.superseded.get(form, ())),
        )


def recipe_folder(recipe: MediaRecipe) -> str:
    """Return the name of the folder with the compact forms of a recipe."""
    kind = type(recipe).__name__.removesuffix("Recipe").lower()
    return f"{kind}-{recipe.fingerprint}"


def _part(sample: Sample, modality: str) -> tuple[float | None, float | None, str]:
    """Return the elements of a :class:`Part`."""
    member = sample.members.get(modality, "")
    return (
        (None, None, member) if modality in sample.cut else (sample.start, sample.duration, member)
    )


def _key(source_and_part: tuple[str | float | None, ...]) -> str:
    return hashlib.sha256(repr(source_and_part).encode()).hexdigest()[:KEY]


def _existing(folder: Path) -> dict[str, list[str]]:
    """Return key -> names of the compact forms and notes in a folder, the newest last."""
    names: dict[str, list[str]] = {}
    # Hundreds of thousands of files in one folder are slow on many file systems.
    for i in range(256):
        try:
            with os.scandir(folder / f"{i:02x}") as entries:
                for entry in entries:
                    names.setdefault(entry.name[:KEY], []).append(entry.name)
        except FileNotFoundError:
            continue
    for key, several in names.items():
        if len(several) > 1:
            ages = {name: _age(folder / key[:2] / name) for name in several}
            several.sort(key=ages.__getitem__)
    return names


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0
