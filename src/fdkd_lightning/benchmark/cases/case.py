"""A case: a question, and groups of functions that are timed side by side to answer it."""

from collections.abc import Callable
from typing import NamedTuple

from fdkd_lightning.benchmark.measure import Limits
from fdkd_lightning.benchmark.row import Row

Group = Callable[[Limits], list[Row]]


class Case(NamedTuple):
    """A question, and its groups.

    Args:
        name: Name on the command line, and in the files.
        question: The question, a sentence.
        groups: Functions of the limits that return rows; one a size.
    """

    name: str
    question: str
    groups: tuple[Group, ...]
