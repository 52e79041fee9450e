"""A measured number, with what it is compared with."""

from collections.abc import Mapping
from typing import NamedTuple

from fdkd_lightning.benchmark.measure import Timing


class Row(NamedTuple):
    """A measured number; a line of ``benchmark.csv``.

    Args:
        case: The question, such as ``loss``.
        size: The size at which it was measured; numbers of one size are compared.
        variant: What was measured.
        unit: ``s``, ``bytes``, or ``relative`` for a deviation.
        median: Median of the repeats.
        minimum: Smallest of the repeats.
        quartile_1: First quartile.
        quartile_3: Third quartile.
        repeats: Number of repeats.
        compared_with: Variant of the same case and size; empty: none.
        ratio: This divided by the other variant; None: none.
    """

    case: str
    size: str
    variant: str
    unit: str
    median: float
    minimum: float
    quartile_1: float
    quartile_3: float
    repeats: int
    compared_with: str = ""
    ratio: float | None = None


def timed_rows(
    case: str, size: str, timings: Mapping[str, Timing], against: Mapping[str, str]
) -> list[Row]:
    """Return the rows of functions that were timed side by side.

    Args:
        case: The case.
        size: The size.
        timings: Variant -> its timing.
        against: Variant -> the variant that it is compared with; their ratio is the median of the
            ratios of all rounds.

    Example:
        >>> a, b = (Timing(x, x, (x, x), (x, x)) for x in (1.0, 3.0))
        >>> timed_rows("loss", "64x512", {"a": a, "b": b}, {"b": "a"})[1].ratio
        3.0
    """
    rows = []
    for variant, timing in timings.items():
        other = against.get(variant, "")
        ratio = timing.over(timings[other]) if other else None
        numbers = timing.median, timing.minimum, *timing.quartiles, len(timing.seconds)
        rows.append(Row(case, size, variant, "s", *numbers, other, ratio))
    return rows


def value_row(
    case: str,
    size: str,
    variant: str,
    unit: str,
    value: float,
    against: Row | None = None,
) -> Row:
    """Return the row of a number that does not vary, such as a file's bytes.

    Example:
        >>> first = value_row("checkpoint", "small", "parts", "bytes", 100)
        >>> value_row("checkpoint", "small", "file", "bytes", 101, first).ratio
        1.01
    """
    other, ratio = ("", None) if against is None else (against.variant, value / against.median)
    return Row(case, size, variant, unit, value, value, value, value, 1, other, ratio)
