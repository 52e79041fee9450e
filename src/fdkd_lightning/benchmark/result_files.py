"""The files of a benchmark: ``benchmark.csv`` and ``benchmark.json``."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fdkd_lightning.benchmark.row import Row
from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.files.read_file import read_json

CSV, JSON = "benchmark.csv", "benchmark.json"


class Results(NamedTuple):
    """Rows, and what they were measured on.

    Args:
        rows: The measured numbers.
        about: ``command``, ``machine``, ``versions``, ``skipped`` (case -> reason); of the package
            ``questions`` and ``seconds``, of a run of the user's ``run``.
    """

    rows: list[Row]
    about: dict[str, Any]


def write_results(folder: Path, rows: Sequence[Row], about: dict[str, Any]) -> None:
    """Write both files.

    Example:
        >>> import tempfile
        >>> row = Row("loss", "64x512", "plain", "s", 1.0, 1.0, 1.0, 2.0, 5)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_results(Path(folder), [row], {"command": "fdkd benchmark"})
        ...     read_results(Path(folder)) == Results([row], {"command": "fdkd benchmark"})
        True
    """
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / CSV, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        writer.writerows([_cell(value) for value in row] for row in rows)
    with atomic_write(folder / JSON, "w") as file:
        json.dump(about, file, indent=1)
        file.write("\n")


def read_results(folder: Path) -> Results:
    """Read both files.

    Raises:
        FileNotFoundError, ValueError: If they are not there, or damaged.
    """
    about = read_json(folder / JSON, "run fdkd benchmark again")
    with (folder / CSV).open(newline="", encoding="utf-8") as file:
        rows = [_row(line) for line in csv.DictReader(file)]
    return Results(rows, about)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else value


def _row(line: dict[str, str]) -> Row:
    return Row(
        case=line["case"],
        size=line["size"],
        variant=line["variant"],
        unit=line["unit"],
        median=float(line["median"]),
        minimum=float(line["minimum"]),
        quartile_1=float(line["quartile_1"]),
        quartile_3=float(line["quartile_3"]),
        repeats=int(line["repeats"]),
        compared_with=line["compared_with"],
        ratio=float(line["ratio"]) if line["ratio"] else None,
    )
