"""What became of each sample: the manifest of a prepared folder."""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fdkd_lightning.data.preparation.recipe import MediaRecipe, Recipe
from fdkd_lightning.data.preparation.store import require_folder, whole_file
from fdkd_lightning.data.preparation.table import Sample, leaves


class Row(NamedTuple):
    """A sample as the manifest has it.

    Shape:
        - sources: modality -> compact form, relative to the manifest's folder, or text; without
          those that the sample lacks
        - status: ``ok``, the status of the first modality that is lacking, or ``refused`` where
          the set's own lists make the sample unusable
    """

    id: str
    split: str
    label: str
    sources: Mapping[str, str]
    status: str
    reason: str


def manifest_name(samples: Sequence[Sample], recipes: Mapping[str, Recipe]) -> str:
    """Name of the manifest, which differs for other samples or recipes."""
    digest = hashlib.sha256()
    for name, recipe in recipes.items():
        digest.update(repr((name, getattr(recipe, "fingerprint", ""))).encode())
    for s in samples:
        sources = [s.sources.get(name) for name in recipes]
        members = [s.members.get(name, "") for name in recipes]
        kept = (s.id, s.split, s.label, sources, s.start, s.duration, members, s.fault)
        digest.update(repr(kept).encode())
    return f"manifest-{'-'.join(recipes)}-{digest.hexdigest()[:10]}.csv"


def read_manifest(path: Path, recipes: Mapping[str, Recipe]) -> list[Row]:
    """The manifest's rows.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If it is not what :func:`prepare` wrote.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = []
            for cells in reader:
                sources = {name: cells[name] for name in recipes if cells[name]}
                for name, source in sources.items():
                    if isinstance(recipes[name], MediaRecipe) and leaves(source):
                        raise ValueError(f"line {reader.line_num}: {source!r} leaves the folder")
                named = (cells["id"], cells["split"], cells["label"])
                rows.append(Row(*named, sources, cells["status"], cells["reason"]))
            return rows
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} is not there: call prepare_data() first, with the same table and recipes"
        ) from error
    except (csv.Error, KeyError, ValueError) as error:
        raise RuntimeError(
            f"{path} is damaged ({error}): delete it, and prepare_data() makes it anew"
        ) from error


def write_manifest(path: Path, rows: Sequence[Row], modalities: Sequence[str]) -> None:
    """Write the rows, unless they are there already."""
    text = io.StringIO()
    # Python before 3.13 leaves a lone carriage return unquoted, and reads it as a new line.
    table = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    table.writerow(["id", "split", "label", *modalities, "status", "reason"])
    for row in rows:
        sources = [row.sources.get(modality, "") for modality in modalities]
        table.writerow([row.id, row.split, row.label, *sources, row.status, row.reason])
    content = text.getvalue().encode()
    # A prepared folder that others share may be read-only.
    if not (path.exists() and path.read_bytes() == content):
        require_folder(path.parent)
        with whole_file(path) as file:
            file.write(content)
