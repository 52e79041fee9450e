"""Finding an input or a label in a batch of any form."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

BatchKey = str | int | Callable[[Any], Any]
"""A key or index, a path of them with dots (``inputs.audio``, ``0.image``), or a function."""


def entry(batch: Any, key: BatchKey, argument: str) -> Any:
    """What a batch holds under a key.

    Args:
        batch: A dict, a tuple or list, an object with attributes, or any nesting of these.
        key: A string is looked up whole in a dict first, and then part by part: as a key in a
            dict, as an index or a named tuple's field, as an attribute else.
        argument: What an error calls the key.

    Raises:
        KeyError: If there is no such entry.

    Example:
        >>> batch = ({"image": 1, "a.b": 2}, "label")
        >>> [entry(batch, key, "student_input") for key in ("0.image", "0.a.b", 1)]
        [1, 2, 'label']
        >>> entry(batch, lambda batch: batch[0]["image"], "student_input")
        1
    """
    if callable(key):
        return key(batch)
    found, rest = batch, str(key)
    while rest:
        found, rest = _step(found, rest, f"{argument}={key!r}")
    return found


def _step(value: Any, path: str, said: str) -> tuple[Any, str]:
    """What the path's first part leads to, and the rest of the path."""
    first, _, rest = path.partition(".")
    if isinstance(value, Mapping):
        # A key may itself hold dots, or be a number.
        for key, left in ((path, ""), (first, rest)):
            if key in value:
                return value[key], left
            if key.isdecimal() and int(key) in value:
                return value[int(key)], left
        have = f"a dict with {', '.join(map(str, value)) or 'nothing'}"
    elif isinstance(value, Sequence) and not isinstance(value, str):
        if first.isdecimal() and int(first) < len(value):
            return value[int(first)], rest
        if first in getattr(value, "_fields", ()):  # of a named tuple
            return getattr(value, first), rest
        have = f"a {type(value).__name__} of {len(value)}, whose entries are 0 to {len(value) - 1}"
    elif hasattr(value, first):
        return getattr(value, first), rest
    else:
        have = f"a {type(value).__name__}"
    raise KeyError(
        f"{said}: there is no {first!r} in the batch's {have}: name what is there, a path with "
        "dots such as '0.image', or a function of the batch"
    )
