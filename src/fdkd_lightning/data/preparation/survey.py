"""Compare a prepared folder with the sources: what is prepared, what failed, what is to be done."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, overload

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
        total = len(samples) * len(media)
        with tqdm(total=total, desc="Looking", unit="file", delay=1, disable=not progress) as bar:
            for modality, recipe in media.items():
                self._compare(modality, recipe, files, bar)

    @property
    def jobs(self) -> "Jobs":
        """The files to decode, each once, in the order of the samples."""
        return Jobs(self)

    def part(self, modality: str, position: int) -> Part:
        """Return the part of a file that belongs to a sample."""
        sample = self.samples[position]
        if modality in sample.cut:
            return Part(member=sample.members.get(modality, ""))
        return Part(sample.start, sample.duration, sample.members.get(modality, ""))

    def _compare(
        self, modality: str, recipe: MediaRecipe, files: SourceFiles, bar: "tqdm[NoReturn]"
    ) -> None:
        name = recipe_folder(recipe)
        existing = _existing(self.folder / name)
        forms = self.forms[modality]
        for position, sample in enumerate(self.samples):
            if position % 1024 == 0:
                bar.update(min(1024, len(self.samples) - position))
            source = sample.sources.get(modality)
            if source is None or sample.fault:
                forms.append("")
                continue
            found = files.find(source)
            if found.fault is not None and not existing and not found.outside:
                # Hashing names is most of the work for a long list of absent files.
                form = str(found.fault)
                forms.append(form)
                self.failures[form] = found.fault
                continue
            key = _key(source, *self.part(modality, position))
            others = existing.get(key, ())
            stem = f"{key}-{found.version}" if found.version else _newest(others, recipe, key)
            form = f"{name}/{key[:2]}/{stem}{recipe.suffix}"
            forms.append(form)
            if f"{stem}{recipe.suffix}" in others or form in self.failures or form in self.pending:
                continue
            if found.outside:
                raise ValueError(
                    f"{sample.where}: {modality} {source!r} is a link to {found.outside}, outside "
                    f"of root={self.root}: set follow_links=true to allow it"
                )
            noted = f"{stem}.failed" in others
            failure = read_note(note_path(self.folder / form)) if noted else None
            failure = failure or found.fault
            if failure is not None:
                self.failures[form] = failure
            else:
                self.pending[form] = modality, position
                if others:
                    self.superseded[form] = [other for other in others if stem not in other]


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


def _key(*source_and_part: str | float | None) -> str:
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


def _newest(names: Sequence[str], recipe: MediaRecipe, key: str) -> str:
    """Return the stem of the newest compact form or note of a source that is gone."""
    forms = [name for name in names if name.endswith(recipe.suffix)]
    chosen = forms or [name for name in names if name.endswith(".failed")]
    return chosen[-1].rpartition(".")[0] if chosen else f"{key}-absent"
