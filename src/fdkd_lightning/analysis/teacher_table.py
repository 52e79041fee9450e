"""The table of ``fdkd analyze``: a row per teacher, as CSV and as JSON."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from fdkd_lightning.analysis.similarity import Similarity
from fdkd_lightning.files.atomic_write import atomic_write


def write_table(
    folder: Path, rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]
) -> None:
    """Write ``analysis.json`` with all values, and ``analysis.csv`` with one number per cell.

    Args:
        folder: The folder; it is made if there is none.
        rows: A row per teacher: name of a column -> value.
        settings: What the rows have in common; in the JSON alone.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     row = {"teacher": "audio", "r2": 0.25, "r2_shuffled": (0.0, -0.5)}
        ...     write_table(Path(folder), [row], {})
        ...     print(Path(folder, "analysis.csv").read_text().split())
        ['teacher,r2,r2_shuffled_mean,r2_shuffled_max', 'audio,0.25,-0.25,0.0']
    """
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "analysis.json", "w") as file:
        json.dump({**settings, "teachers": [dict(row) for row in rows]}, file, indent=2)
        file.write("\n")
    flat = [flat_row(row) for row in rows]
    with atomic_write(folder / "analysis.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in flat for name in row)))
        writer.writeheader()
        writer.writerows(flat)


def flat_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with one number per cell; None becomes an empty one.

    Example:
        >>> flat_row({"bands": (0.5, 0.1, 0.4), "bands_permuted": (), "cka": None})
        {'bands_low': 0.5, 'bands_high': 0.1, 'bands_raw': 0.4, 'cka': None}
    """
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if name == "bands_permuted":
            if value:
                means = map(mean, zip(*value, strict=True))
                cells |= {f"{name}_{b}": x for b, x in zip(Similarity._fields, means, strict=True)}
        elif name.startswith("bands"):
            if value is not None:
                cells |= {f"{name}_{b}": x for b, x in zip(Similarity._fields, value, strict=True)}
        elif isinstance(value, Sequence) and not isinstance(value, str):
            cells |= {f"{name}_mean": mean(value), f"{name}_max": max(value)}
        else:
            cells[name] = value
    return cells
