"""Read the samples of a data set from a table."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn

from fdkd_lightning.data.preparation.sample import Sample, is_missing
from fdkd_lightning.files.read_file import csv_rows
from fdkd_lightning.ops.optional import require


def read_table(path: Path, modalities: Sequence[str], group: str | None = None) -> list[Sample]:
    """Read a table with the columns id, split, label and one for each modality.

    Optional columns ``start`` and ``duration`` (seconds) choose a segment of each file. Other
    columns are ignored. An empty cell means that the sample has no such modality, label or number,
    and so do ``nan`` and ``<NA>`` in the column of groups. White space at the ends of splits and
    groups is removed.

    Args:
        path: A file ``.csv``, ``.tsv`` (with the quoting of CSV) or ``.parquet`` (needs pyarrow).
        modalities: Columns with paths or texts.
        group: Column with the groups of the samples; None: the samples have no groups.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or not UTF-8, a column is missing or occurs twice, a row
            has another number of cells than the header, or a number cannot be parsed.
        ImportError: If a Parquet file is to be read without pyarrow.
    """
    wanted = ["id", "split", "label", *modalities, *([] if group is None else [group])]
    rows = _read_rows(path)
    line, header = next(rows, (1, []))
    missing = [name for name in wanted if name not in header]
    doubled = [name for name, count in Counter(header).items() if count > 1]
    if missing or doubled:
        problem = f"no column {missing[0]!r}" if missing else f"two columns {doubled[0]!r}"
        raise ValueError(
            f"{path}, line {line}: {problem}; the columns are: {', '.join(header)[:200]}"
        )
    samples = []
    for line, cells in rows:
        where = f"{path}, line {line}"
        if len(cells) != len(header):
            raise ValueError(
                f"{where}: {len(cells)} cells for {len(header)} columns: {','.join(cells)[:80]!r}; "
                "put cells that contain the separator in double quotes"
            )
        row = dict(zip(header, cells, strict=True))
        sample = Sample(
            id=row["id"],
            split=row["split"].strip(),
            label=row["label"],
            sources={modality: row[modality] for modality in modalities if row[modality]},
            start=_number(row.get("start", ""), "start", where),
            duration=_number(row.get("duration", ""), "duration", where),
            group="" if group is None or is_missing(row[group]) else row[group].strip(),
            where=where,
        )
        samples.append(sample)
    _warn_of_missing(samples, modalities)
    return samples


def _read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the cells of each row, the header first."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: correct table, lists or root")
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    if path.suffix not in (".csv", ".tsv"):
        raise ValueError(f"{path}: the table must be a file .csv, .tsv or .parquet")
    yield from csv_rows(path, "\t" if path.suffix == ".tsv" else ",")


def _parquet_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    parquet = require("pyarrow.parquet", extra="parquet", purpose=f"reading {path}")
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError) as error:  # errors of pyarrow are of these classes
        raise ValueError(f"{path} is not a complete Parquet file: {error}") from error
    yield 1, list(table.column_names)
    columns = (column.to_pylist() for column in table.columns)
    for line, cells in enumerate(zip(*columns, strict=True), 2):
        # pandas writes a missing number as NaN.
        yield line, ["" if cell is None or cell != cell else str(cell) for cell in cells]


def _number(text: str, name: str, where: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: {name} {text[:80]!r} is not a number of seconds")
    return value


def _warn_of_missing(samples: Sequence[Sample], modalities: Sequence[str]) -> None:
    for modality in modalities:
        found = [s for s in samples if is_missing(s.sources.get(modality, "x"))]
        if found:
            rank_zero_warn(
                f"{found[0].where}: {modality} is {found[0].sources[modality]!r} in {len(found):,} "
                "rows, which is read as it stands: leave the cells empty if they mean none"
            )
