"""The figure of paired differences: a strip with mean and 95 % interval for each, on one axis."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from fdkd_lightning.report.axis import Axis, make_axis
from fdkd_lightning.report.differences import DifferenceRow
from fdkd_lightning.report.score_table import difference_text
from fdkd_lightning.study.paired_difference import Difference

LARGEST = 100.0
"""Points by which two fractions can differ; an interval beyond it is drawn up to there."""


class Strip(NamedTuple):
    """A line of the figure; the places are in percent of its width.

    Args:
        row: The difference.
        text: Mean and interval, in words for those who do not see the figure.
        mean: Place of the mean; None if there is none.
        ends: Places of the interval's ends; None if there is none.
        beyond: Whether the interval goes on beyond the axis, at either end.
    """

    row: DifferenceRow
    text: str
    mean: float | None
    ends: tuple[float, float] | None
    beyond: tuple[bool, bool]


def difference_axis(rows: Sequence[DifferenceRow]) -> Axis:
    """Return the one axis of all differences of a study; it holds 0.

    A difference of fractions is at most 100 points: wider intervals do not widen the axis.
    """
    ends = [
        max(-LARGEST, min(LARGEST, end))
        for row in rows
        for end in (row.low, row.high)
        if end == end
    ]
    return make_axis([0.0, *(row.mean for row in rows), *ends])


def strips(rows: Sequence[DifferenceRow], axis: Axis) -> list[Strip]:
    """Return where everything is drawn.

    Args:
        rows: The differences.
        axis: The axis, see :func:`difference_axis`.

    Example:
        >>> row = DifferenceRow("full", "a2v", "KD", "alone", "baseline", 5.0, 0.0, 10.0, 3)
        >>> [strip] = strips([row], Axis(-10.0, 10.0, (-10.0, 0.0, 10.0)))
        >>> strip.mean, strip.ends, strip.text
        (75.0, (50.0, 100.0), '+5.0 [+0.0, +10.0]')
    """
    found = []
    for row in rows:
        difference = Difference(row.mean / 100, row.low / 100, row.high / 100, row.n)
        known = math.isfinite(row.low) and math.isfinite(row.high)
        found.append(
            Strip(
                row,
                difference_text(difference),
                axis.place(row.mean) if math.isfinite(row.mean) else None,
                (axis.place(row.low), axis.place(row.high)) if known else None,
                (known and row.low < axis.low, known and row.high > axis.high),
            )
        )
    return found
