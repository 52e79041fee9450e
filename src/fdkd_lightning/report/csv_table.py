"""Write the values of a figure or a table of a page as a CSV file."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fdkd_lightning.files.atomic_write import atomic_write


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table; a cell of None is empty.

    Args:
        path: The file, in an existing folder.
        header: Names of the columns.
        rows: The cells of each row.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "curves.csv")
        >>> write_table(path, ["name", "epoch"], [("train/loss", 0), ("teacher", None)])
        >>> path.read_text().split()
        ['name,epoch', 'train/loss,0', 'teacher,']
    """
    with atomic_write(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
