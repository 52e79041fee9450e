"""Data sets that can leave modalities out."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Skipping(Protocol):
    """A data set that leaves out the modalities in ``skipped``, without reading their files.

    A data set of one's own takes part by having the attribute.

    Example:
        >>> class Clips:
        ...     skipped: frozenset[str] = frozenset()
        >>> isinstance(Clips(), Skipping), isinstance([], Skipping)
        (True, False)
    """

    skipped: frozenset[str]
