"""CSV files whose rows are of one NamedTuple: the values of a figure."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.files.read_file import csv_rows

RowT = TypeVar("RowT", bound=tuple[Any, ...])


def write_rows(path: Path, kind: type[RowT], rows: Iterable[RowT]) -> None:
    """Write rows below the names of their fields.

    Args:
        path: The file, in an existing folder.
        kind: The NamedTuple.
        rows: The rows.

    Example:
        >>> import tempfile
        >>> from fdkd_lightning.analysis.confusion import Confusion
        >>> path = Path(tempfile.mkdtemp(), "confusion.csv")
        >>> write_rows(path, Confusion, [Confusion("cat", "dog", 2)])
        >>> read_rows(path, Confusion)
        [Confusion(label='cat', predicted='dog', samples=2)]
    """
    with atomic_write(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(get_type_hints(kind))
        writer.writerows(rows)


def read_rows(path: Path, kind: type[RowT]) -> list[RowT]:
    """Read rows, each cell as the type of its field.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has other columns, or a cell is of another type.
    """
    types = get_type_hints(kind)
    lines = csv_rows(path)
    _, header = next(lines, (1, []))
    if header != [*types]:
        raise ValueError(f"{path} must have the columns {', '.join(types)}: run fdkd analyze again")
    found = []
    for line, cells in lines:
        try:
            values = [make(cell) for make, cell in zip(types.values(), cells, strict=True)]
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}: run fdkd analyze again") from error
        found.append(kind(*values))
    return found
