"""The figure of accuracy against cost: a numbered point per method."""

import math
from collections.abc import Sequence
from statistics import mean, median
from typing import Any, NamedTuple

from fdkd_lightning.report.axis import Axis, make_axis
from fdkd_lightning.study.results import Column, Row, scores


class Cost(NamedTuple):
    """A method's cost and score in one regime and direction.

    Args:
        number: Its row in the table, from 1.
        method: Its name.
        seconds: Median wall-clock time of its reported runs.
        score: Mean score in percent.
    """

    number: int
    method: str
    seconds: float
    score: float


class CostFigure(NamedTuple):
    """The points of one regime and direction, and the axes of all."""

    costs: list[Cost]
    seconds: Axis
    score: Axis


def median_seconds(rows: Sequence[Row]) -> dict[tuple[str, str, str], float]:
    """Return (direction, regime, method) -> median wall-clock time of the reported runs."""
    seconds: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if row.chosen and row.seconds is not None:
            seconds.setdefault((row.direction, row.regime, row.method), []).append(row.seconds)
    return {name: median(times) for name, times in seconds.items()}


def cost_figures(settings: dict[str, Any], rows: Sequence[Row]) -> dict[Column, CostFigure]:
    """Return a figure per direction and regime, all on the same axes; none if no time is known.

    Args:
        settings: The study's settings, see :func:`~fdkd_lightning.study.results.read_results`.
        rows: Rows of all runs.
    """
    seconds = median_seconds(rows)
    found: dict[Column, list[Cost]] = {}
    for column_name, column in scores(settings, rows).items():
        for number, (method, values) in enumerate(column.items(), 1):
            time = seconds.get((*column_name, method))
            known = [value for value in values if not math.isnan(value)]
            if time is not None and known:
                cost = Cost(number, method, time, 100 * mean(known))
                found.setdefault(column_name, []).append(cost)
    costs = [cost for column in found.values() for cost in column]
    axes = make_axis([0.0, *(x.seconds for x in costs)]), make_axis([x.score for x in costs])
    return {name: CostFigure(column, *axes) for name, column in found.items()}
