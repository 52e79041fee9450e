"""A choice among the classes of a data set."""

from collections.abc import Sequence
from difflib import get_close_matches


def chosen_classes(names: Sequence[str], chosen: Sequence[str] | None) -> tuple[int, ...]:
    """Return the numbers of the chosen classes, in the order in which they are chosen.

    Args:
        names: All class names of the data set.
        chosen: The names to keep; None: all.

    Raises:
        ValueError: If fewer than two are chosen, one twice, or one that the data set has not.

    Example:
        >>> chosen_classes(("cat", "dog", "fish"), ["fish", "cat"])
        (2, 0)
        >>> chosen_classes(("cat", "dog", "fish"), ["dig", "cat"])
        Traceback (most recent call last):
        ValueError: classes: there is no 'dig', choose among cat, dog, fish (did you mean dog?)
    """
    if chosen is None:
        return tuple(range(len(names)))
    if isinstance(chosen, str) or len({*chosen}) != len(chosen) or len(chosen) < 2:
        raise ValueError(f"classes={chosen!r} must be a list of two or more different names")
    for name in chosen:
        if name not in names:
            close = get_close_matches(str(name), names, 1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise ValueError(
                f"classes: there is no {name!r}, choose among {', '.join(names)}{hint}"
            )
    return tuple(names.index(name) for name in chosen)
