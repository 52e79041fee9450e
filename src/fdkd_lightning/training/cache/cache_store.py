"""A finished teacher cache: a folder of shards, and ``cache.json``, which is written last."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.files.read_file import read_json
from fdkd_lightning.training.cache.fingerprint import Fingerprint, digest_of
from fdkd_lightning.training.cache.shard import (
    INDEX,
    KEYS,
    PRESENT,
    Arrays,
    DamagedCacheError,
    Shard,
)

MANIFEST = "cache.json"
VERSION = 1
EVALUATION = 0
"""View of a sample as in evaluation; the views of training are 1, 2, ..."""


class TensorSpec(NamedTuple):
    """Parts of an output that are stored for one sample.

    Args:
        shape: Shape of a row.
        stored: Its dtype in the file.
        computed: Dtype of the teacher's output, in which it is returned.
    """

    shape: tuple[int, ...]
    stored: str
    computed: str


class Manifest(NamedTuple):
    """The content of ``cache.json``.

    Args:
        fingerprint: What the cache was made of.
        tensors: Name of an output -> what is stored of it.
        splits: The splits it holds.
        views: Number of views of training; 0: the training samples are stored as in evaluation.
        optional: Whether samples may lack the teacher's modality.
        augmented: Whether training views of the teacher's input differ from that of evaluation.
        class_names: Names of the teacher's classes; empty: unknown.
        shards: ``file``, ``rows``, ``view``, ``sha256`` and ``head`` (CRC-32) of each shard.
        classes: Number of classes of which the largest logits are stored; 0: all are.
    """

    fingerprint: Fingerprint
    tensors: dict[str, TensorSpec]
    splits: tuple[str, ...]
    views: int
    optional: bool
    augmented: bool
    class_names: tuple[str, ...]
    shards: list[dict[str, Any]]
    classes: int = 0


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``cache.json``, with which the cache is complete."""
    content = {"version": VERSION, "digest": digest_of(manifest.fingerprint), **manifest._asdict()}
    content["tensors"] = {name: spec._asdict() for name, spec in manifest.tensors.items()}
    content = json.loads(json.dumps(content))
    with atomic_write(folder / MANIFEST, "w") as file:
        json.dump({**content, "check": _check(content)}, file, indent=1)


def read_manifest(folder: Path) -> Manifest:
    """Read ``cache.json``.

    Raises:
        FileNotFoundError: If the folder is no finished cache.
        DamagedCacheError: If the file has changed.
    """
    path = folder / MANIFEST
    if not path.is_file():
        unfinished = any(folder.glob("shard-*"))
        why = "is not finished: run the same fdkd cache again" if unfinished else "is no cache"
        raise FileNotFoundError(
            f"folder={str(folder)!r} {why}" + ("" if unfinished else ": build it with fdkd cache")
        )
    try:
        content = read_json(path)
    except ValueError as error:
        raise DamagedCacheError(path, str(error)) from error
    if content.get("version", VERSION) != VERSION:
        raise ValueError(
            f"{path} has format version {content['version']!r}, and this package reads {VERSION}: "
            "use the package version that wrote it, or build the cache again"
        )
    if content.pop("check", None) != _check(content):
        raise DamagedCacheError(path, "its check sum differs")
    tensors = {
        name: TensorSpec(tuple(x["shape"]), x["stored"], x["computed"])
        for name, x in content["tensors"].items()
    }
    content |= {
        "tensors": tensors,
        **{key: tuple(content[key]) for key in ("splits", "class_names")},
    }
    return Manifest(**{key: content[key] for key in Manifest._fields if key in content})


class CacheStore:
    """Read the outputs of a teacher by sample; the rows stay on the disk.

    Args:
        folder: A finished cache.

    Raises:
        FileNotFoundError: If the folder is no finished cache, or a shard is missing.
        DamagedCacheError: If a file has changed; on reading, if a row has changed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        self.shards = [self._open(entry) for entry in self.manifest.shards]
        counts = [shard.rows for shard in self.shards]
        self._ends = np.cumsum(counts, dtype=np.int64)
        index = np.concatenate([shard.column(INDEX) for shard in self.shards])
        self._present = np.concatenate([shard.column(PRESENT) for shard in self.shards]) > 0
        views = np.repeat([entry["view"] for entry in self.manifest.shards], counts)
        self._rows: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        for view in np.unique(views).tolist():
            [rows] = np.nonzero(views == view)
            order = rows[np.argsort(index[rows], kind="stable")]
            self._rows[view] = index[order], order

    def find(self, ids: NDArray[np.int64], view: int = EVALUATION) -> NDArray[np.int64]:
        """Return the rows of samples in a view, or in evaluation where they have no such view.

        Raises:
            ValueError: If a sample is not stored.

        Shape:
            - ids, output: [N]
        """
        rows = np.full(len(ids), -1, np.int64)
        for each in dict.fromkeys((view, EVALUATION)):
            if each in self._rows:
                known, order = self._rows[each]
                at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
                rows = np.where((rows < 0) & (known[at] == ids), order[at], rows)
        missing = ids[rows < 0]
        if len(missing):
            raise ValueError(
                f"{self.folder} has no output for sample {int(missing[0])} ({len(missing)} of "
                f"{len(ids)} are missing): train on the samples that it was built from (the same "
                "modalities, splits and sizes), or build it again with fdkd cache"
            )
        return rows

    def read(self, rows: NDArray[np.int64]) -> Arrays:
        """Return the stored outputs of rows.

        Shape:
            - rows: [N]
            - output[name]: [N, ...]
        """
        shard_of = np.searchsorted(self._ends, rows, side="right")
        result: Arrays = {}
        for number in np.unique(shard_of).tolist():
            [at] = np.nonzero(shard_of == number)
            start = self._ends[number] - self.shards[number].rows
            for name, values in self.shards[number].read(rows[at] - start).items():
                if name not in result:
                    result[name] = np.empty((len(rows), *values.shape[1:]), values.dtype)
                result[name][at] = values
        return result

    def present(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether the samples of rows have the teacher's modality.

        Shape:
            - rows, output: [N]
        """
        return self._present[rows]

    def keys(self) -> NDArray[np.int64]:
        """Return the hashes of the names and sources of all rows' samples.

        Shape:
            - output: [M, 2]
        """
        return np.concatenate([shard.column(KEYS) for shard in self.shards])

    def verify(self) -> int:
        """Compare every byte with its check sum, and return the number of files.

        Raises:
            DamagedCacheError: If one has changed; the message names the file.
        """
        for shard, entry in zip(self.shards, self.manifest.shards, strict=True):
            if file_sum(shard.path) != entry["sha256"]:
                raise DamagedCacheError(shard.path, "its SHA-256 differs")
        return len(self.shards) + 1

    def _open(self, entry: Mapping[str, Any]) -> Shard:
        path = self.folder / entry["file"]
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: delete {MANIFEST} beside it, and run fdkd cache again, which "
                "makes the missing rows"
            )
        shard = Shard(path)
        if shard.head_sum() != entry["head"] or shard.rows != entry["rows"]:
            raise DamagedCacheError(path, "its header or ids have changed")
        return shard


def describe_shards(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return what ``cache.json`` holds of each shard."""
    entries = []
    for path in paths:
        shard = Shard(path)
        entries.append(
            {
                "file": path.name,
                "rows": shard.rows,
                "view": shard.identity["view"],
                "sha256": file_sum(path),
                "head": shard.head_sum(),
            }
        )
    return entries


def file_sum(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
