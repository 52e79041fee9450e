"""Samples as a table names them, and what is checked before any of their files is opened."""

import csv
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import NamedTuple

from fdkd_lightning.ops.optional import require

SPLITS = ("train", "val", "test")


class Sample(NamedTuple):
    """One sample, not decoded.

    Shape:
        - sources: modality -> path below the root, or text; without those that the sample lacks
        - label: name of the class; empty: none
        - start, duration: the segment to decode, seconds; None: the whole file
        - group: what must not be in two splits, a speaker for instance; empty: none
        - members: modality -> what its file, a container of many samples, calls the sample
        - fault: why the set's own lists make it unusable; empty: they do not
        - where: file and line, for error messages
    """

    id: str
    split: str
    label: str
    sources: Mapping[str, str]
    start: float | None = None
    duration: float | None = None
    group: str = ""
    where: str = ""
    members: Mapping[str, str] = MappingProxyType({})
    fault: str = ""


def read_table(path: Path, modalities: Sequence[str], group: str | None = None) -> list[Sample]:
    """Read a table with the columns id, split, label and one per modality.

    Columns ``start`` and ``duration`` (seconds), where there are any, choose a segment of each
    file. Other columns are ignored; an empty cell is a modality, label or number that is not there.

    Args:
        path: ``.csv``, ``.tsv`` (quoted as CSV is) or ``.parquet`` (for which pyarrow is needed).
        modalities: Columns of paths or texts.
        group: Column of the samples' groups; None: there is none.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, a row's length differs from the header's, or a number
            is none.
        ImportError: If a Parquet file is to be read without pyarrow.
    """
    wanted = ["id", "split", "label", *modalities, *([] if group is None else [group])]
    rows = _read_rows(path)
    line, header = next(rows, (1, []))
    missing = [name for name in wanted if name not in header]
    doubled = [name for name, count in Counter(header).items() if count > 1]
    if missing or doubled:
        problem = f"no column {missing[0]!r}" if missing else f"two columns {doubled[0]!r}"
        raise ValueError(f"{path}, line {line}: {problem}; it has: {', '.join(header)}")
    samples = []
    for line, cells in rows:
        where = f"{path}, line {line}"
        if len(cells) != len(header):
            raise ValueError(
                f"{where}: {len(cells)} cells for {len(header)} columns: {','.join(cells)[:80]!r}; "
                "put a cell that holds the separator in double quotes"
            )
        row = dict(zip(header, cells, strict=True))
        sample = Sample(
            id=row["id"],
            split=row["split"],
            label=row["label"],
            sources={modality: row[modality] for modality in modalities if row[modality]},
            start=_number(row.get("start", ""), "start", where),
            duration=_number(row.get("duration", ""), "duration", where),
            group="" if group is None else row[group],
            where=where,
        )
        samples.append(sample)
    return samples


def check_samples(
    samples: Iterable[Sample], class_names: Sequence[str], media: Sequence[str]
) -> None:
    """Raise at the first sample whose id, split, label or path is not to be trusted.

    Args:
        samples: All of a set.
        class_names: What a label may be.
        media: The modalities whose sources are paths.

    Raises:
        ValueError: If there is one; it names file, line and value.
    """
    seen: dict[str, str] = {}
    classes = {"", *class_names}
    for sample in samples:
        if not sample.id:
            raise ValueError(f"{sample.where}: the id is empty")
        if sample.id in seen:
            raise ValueError(
                f"{sample.where}: id {sample.id!r} is that of {seen[sample.id]} too: "
                "remove one of the two, or give it another id"
            )
        seen[sample.id] = sample.where
        if sample.split not in SPLITS:
            raise ValueError(
                f"{sample.where}: split {sample.split!r} is none of {', '.join(SPLITS)}"
            )
        if sample.label not in classes:
            names = ", ".join(class_names[:10]) + (", ..." if len(class_names) > 10 else "")
            raise ValueError(
                f"{sample.where}: label {sample.label!r} is none of the {len(class_names)} "
                f"classes ({names}): mend it, or add it to class_names"
            )
        for modality in media:
            path = sample.sources.get(modality, "")
            if leaves(path):
                raise ValueError(
                    f"{sample.where}: {modality} {path!r} leaves the root: paths must be "
                    "relative to it, without '..'"
                )


def classes_of(samples: Iterable[Sample]) -> tuple[str, ...]:
    """The labels that occur; in numerical order if all are whole numbers, else in that of text.

    Example:
        >>> classes_of(Sample("", "", label, {}) for label in ("10", "9", "", "10"))
        ('9', '10')
    """
    names = {sample.label for sample in samples} - {""}
    if all(name.isascii() and name.isdigit() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def draw_validation(samples: Sequence[Sample], fraction: float, seed: int) -> list[Sample]:
    """Move a part of the training samples to the validation split.

    Without groups it is the same part of each class. With groups whole groups move, until the part
    is reached; classes are then as they come. What is drawn depends on seed and ids (or groups)
    alone, not on the samples' order.

    Args:
        samples: All of a set, none of them in the validation split.
        fraction: Part of the training samples, above 0 and below 1.
        seed: Draws it.

    Raises:
        ValueError: If there is nothing to draw from, or nothing would remain.

    Example:
        >>> samples = [Sample(str(i), "train", "ab"[i % 2], {}) for i in range(20)]
        >>> sorted(s.label for s in draw_validation(samples, 0.1, seed=0) if s.split == "val")
        ['a', 'b']
    """
    train = [sample for sample in samples if sample.split == "train"]

    def lot(name: str) -> bytes:
        return hashlib.sha256(f"{seed}:{name}".encode()).digest()

    drawn: set[str] = set()
    if any(sample.group for sample in train):
        lacking = next((sample for sample in train if not sample.group), None)
        if lacking is not None:
            raise ValueError(f"{lacking.where}: the group is empty, but others have one")
        sizes = Counter(sample.group for sample in train)
        count = 0
        for group in sorted(sizes, key=lot):
            if count >= fraction * len(train):
                break
            drawn.add(group)
            count += sizes[group]
        drawn = {sample.id for sample in train if sample.group in drawn}
    else:
        for label in {sample.label for sample in train}:
            ids = sorted((sample.id for sample in train if sample.label == label), key=lot)
            drawn.update(ids[: round(fraction * len(ids))])
    if not 0 < len(drawn) < len(train):
        raise ValueError(
            f"val_fraction={fraction} draws {len(drawn)} of {len(train)} training samples: "
            "give another, or more samples or groups"
        )
    return [s._replace(split="val") if s.id in drawn else s for s in samples]


def within(root: Path, name: str) -> Path:
    """A file of the set's own, such as a list, below the root.

    Raises:
        ValueError: If it lies elsewhere, or is a link to elsewhere.

    Example:
        >>> within(Path("data"), "../list.csv")
        Traceback (most recent call last):
        ValueError: ../list.csv leaves root=data: it must be below it, and no link to elsewhere
    """
    path = root / name
    if leaves(name) or not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(
            f"{name} leaves root={root}: it must be below it, and no link to elsewhere"
        )
    return path


def leaves(path: str) -> bool:
    """Whether a path may leave the folder it is relative to; links are not looked at.

    Example:
        >>> leaves("a/b.wav"), leaves("../b.wav"), leaves("/b.wav")
        (False, True, True)
    """
    windows = PureWindowsPath(path)
    absolute = PurePosixPath(path).is_absolute() or bool(windows.anchor)
    return absolute or ".." in windows.parts or "\0" in path


def _read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each row, the header first."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: give root and table so that it is")
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    # Spreadsheets write a byte order mark.
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
        line = 1
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}, line {line}: {error}") from error


def _parquet_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    parquet = require("pyarrow.parquet", extra="parquet", purpose=f"reading {path}")
    table = parquet.read_table(path)
    yield 1, list(table.column_names)
    columns = (column.to_pylist() for column in table.columns)
    for line, cells in enumerate(zip(*columns, strict=True), 2):
        yield line, ["" if cell is None else str(cell) for cell in cells]


def _number(text: str, name: str, where: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: {name} {text!r} is no number of seconds")
    return value
