"""All paired differences of a study that its report draws, as a CSV table."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from fdkd_lightning.report.score_table import compared_with
from fdkd_lightning.study.paired_difference import paired_difference
from fdkd_lightning.study.results import Row, scores


class DifferenceRow(NamedTuple):
    """A method's paired difference from another one.

    Args:
        regime: Name of the regime.
        direction: Name of the direction.
        method: Name of the method.
        other: What it is compared with.
        role: What the other one is to it: ``baseline``, ``control`` or ``rival``.
        mean: Mean difference in percentage points; nan if no pair of runs succeeded.
        low: Lower end of the 95 % interval in percentage points; nan with fewer than two seeds.
        high: Upper end.
        n: Number of seeds.
    """

    regime: str
    direction: str
    method: str
    other: str
    role: str
    mean: float
    low: float
    high: float
    n: int


def difference_rows(settings: dict[str, Any], rows: Sequence[Row]) -> list[DifferenceRow]:
    """Return each method's differences from the baseline, its controls and its references.

    Args:
        settings: The study's settings, see :func:`~fdkd_lightning.study.results.read_results`.
        rows: Rows of all runs.
    """
    found = []
    for (direction, regime), column in scores(settings, rows).items():
        for method in column:
            for other in dict.fromkeys([settings["baseline"], *compared_with(settings, method)]):
                if other != method:
                    difference = paired_difference(column[method], column[other])
                    found.append(
                        DifferenceRow(
                            regime,
                            direction,
                            method,
                            other,
                            _role(settings, method, other),
                            100 * difference.mean,
                            100 * difference.low,
                            100 * difference.high,
                            difference.n,
                        )
                    )
    return found


def _role(settings: dict[str, Any], method: str, other: str) -> str:
    if other == settings["baseline"]:
        return "baseline"
    return "control" if other in settings["methods"][method]["controls"] else "rival"
