"""Manifest of a prepared folder: one row for each sample, with its compact forms or its fault."""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fdkd_lightning.data.preparation.paths import leaves_folder
from fdkd_lightning.data.preparation.recipe import MediaRecipe, Recipe
from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.preparation.store import require_folder, whole_file


class Row(NamedTuple):
    """A row of the manifest.

    Args:
        id: Identifier of the sample.
        split: ``train``, ``val`` or ``test``.
        label: Name of the class; empty if there is none.
        sources: Modality -> path of the compact form, relative to the folder of the manifest, or
            text. Modalities without a usable source are left out.
        status: ``ok``; or the status of the first modality that is not usable; or ``refused`` if
            the data set itself rules the sample out.
        reason: Explanation of the status.
    """

    id: str
    split: str
    label: str
    sources: Mapping[str, str]
    status: str
    reason: str


def manifest_name(samples: Sequence[Sample], recipes: Mapping[str, Recipe]) -> str:
    """Return the file name of the manifest, a function of the samples and recipes."""
    digest = hashlib.sha256()
    for name, recipe in recipes.items():
        digest.update(repr((name, getattr(recipe, "fingerprint", ""))).encode())
    for s in samples:
        sources = [s.sources.get(name) for name in recipes]
        members = [s.members.get(name, "") for name in recipes]
        fields = (s.id, s.split, s.label, sources, s.start, s.duration, members, s.fault)
        digest.update(repr((*fields, s.cut) if s.cut else fields).encode())
    return f"manifest-{'-'.join(recipes)}-{digest.hexdigest()[:10]}.csv"


def read_manifest(path: Path, recipes: Mapping[str, Recipe]) -> list[Row]:
    """Read the rows of a manifest."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = []
            for cells in reader:
                sources = {name: cells[name] for name in recipes if cells[name]}
                for name, source in sources.items():
                    if isinstance(recipes[name], MediaRecipe) and leaves_folder(source):
                        raise ValueError(f"line {reader.line_num}: {source!r} leaves the folder")
                identity = (cells["id"], cells["split"], cells["label"])
                rows.append(Row(*identity, sources, cells["status"], cells["reason"]))
            return rows
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} does not exist: call prepare_data() first, with the same samples and recipes"
        ) from error
    except (csv.Error, KeyError, ValueError) as error:
        raise RuntimeError(
            f"{path} is damaged ({error}): delete it, and call prepare_data() to rebuild it"
        ) from error


def write_manifest(path: Path, rows: Sequence[Row], modalities: Sequence[str]) -> None:
    """Write a manifest, unless the file already has this content."""
    text = io.StringIO()
    # Before Python 3.13 the minimal quoting misses a lone carriage return.
    table = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    table.writerow(["id", "split", "label", *modalities, "status", "reason"])
    for row in rows:
        sources = [row.sources.get(modality, "") for modality in modalities]
        table.writerow([row.id, row.split, row.label, *sources, row.status, row.reason])
    content = text.getvalue().encode()
    # A shared prepared folder may be read-only.
    if not (path.exists() and path.read_bytes() == content):
        require_folder(path.parent, "prepared")
        with whole_file(path) as file:
            file.write(content)
