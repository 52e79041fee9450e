"""Read text, CSV and JSON files; every error names the file and the line."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LARGEST_JSON = 64 * 2**20
"""A larger file is none of ours, in bytes."""


def read_text(path: Path, unix_lines: bool = False) -> str:
    """Read a UTF-8 file, with or without byte order mark; with ``unix_lines`` as of Unix."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The positions are those of error.object, which lacks the byte order mark.
        before = error.object[: error.start]
        line = before.count(b"\n") + 1
        found = error.object[error.start : error.start + 1].hex()
        raise ValueError(
            f"{path}, line {line}: byte 0x{found} is not UTF-8: save the file with the encoding "
            "UTF-8"
        ) from error
    return text.replace("\r\n", "\n") if unix_lines else text


def csv_rows(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each row of a CSV file; skip empty lines.

    Raises:
        ValueError: If the file is not UTF-8, a quotation mark is not closed, or a cell is longer
            than ``csv.field_size_limit()``, which an unclosed quotation mark may cause too.
        OSError: If the file cannot be read.
    """
    # With newline="" the line ends within quotes stay as they are.
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            limit = f"field limit ({csv.field_size_limit()})"
            reason = (
                f"a cell has more than {csv.field_size_limit():,} characters: close its quotation "
                "mark, or shorten the text"
                if limit in str(error)
                else f"{error}: correct the quotation marks"
            )
            raise ValueError(f"{path}, line {line}: {reason}") from error
        if cells is None:
            return
        if cells:
            yield line, cells
        line = reader.line_num + 1


def read_json(path: Path, advice: str = "delete it, and repeat what wrote it") -> dict[str, Any]:
    """Read a JSON file that holds an object; errors end with the advice.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If the file is empty, torn, not UTF-8, nested too deeply, larger than 64 MiB, or
            holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: {advice}")
    if (size := path.stat().st_size) > LARGEST_JSON:
        raise ValueError(f"{path} has {size:,} bytes, and {LARGEST_JSON:,} are allowed: {advice}")
    text = read_text(path)
    if not text.strip(" \t\r\n\0"):
        raise ValueError(f"{path} is empty: {advice}")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = "too deeply nested" if isinstance(error, RecursionError) else str(error)
        raise ValueError(f"{path}{line} is damaged ({reason}): {advice}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a mapping, not a {type(content).__name__}: {advice}")
    return content
