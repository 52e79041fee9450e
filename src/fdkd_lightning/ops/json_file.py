"""Read JSON files that may be torn, huge or somebody else's."""

import json
from pathlib import Path
from typing import Any

LARGEST = 64 * 2**20
"""A larger file is none of ours, in bytes."""


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """Return the mapping in a JSON file.

    Args:
        path: The file.
        advice: What to do if it is damaged, for the error.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is damaged, nested too deeply, larger than 64 MiB, or holds no mapping.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp(), "a.json")
        >>> _ = path.write_text('{"a": 1}')
        >>> read_json(path, "write it again")
        {'a': 1}
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: {advice}")
    if (size := path.stat().st_size) > LARGEST:
        raise ValueError(f"{path} has {size:,} bytes, and {LARGEST:,} are allowed: {advice}")
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        what = "empty" if not size else "damaged"
        raise ValueError(f"{path} is {what} ({error}): {advice}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a mapping, not a {type(content).__name__}: {advice}")
    return content
