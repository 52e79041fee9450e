"""Known names that resemble a misspelt one."""

import difflib
from collections.abc import Collection


def did_you_mean(name: str, known: Collection[str], cutoff: float = 0.7) -> str:
    """Return ``did you mean A or B?``, whatever the case; an empty text if no name is near.

    Example:
        >>> did_you_mean("treshold", ["threshold", "norm"]), did_you_mean("x", ["norm"])
        ('did you mean threshold?', '')
    """
    found = difflib.get_close_matches(name, known, cutoff=cutoff)
    if not found:
        lower = {candidate.lower(): candidate for candidate in known}
        found = [lower[x] for x in difflib.get_close_matches(name.lower(), lower, cutoff=cutoff)]
    return f"did you mean {' or '.join(found)}?" if found else ""
