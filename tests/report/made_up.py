"""Made-up studies, and differences worked out by hand."""

import math
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from fdkd_lightning.study.results import Row

SETTINGS = {
    "metric": "accuracy",
    "epoch": "last",
    "baseline": "alone",
    "regimes": {"full": {}},
    "directions": {"a2v": {}},
    "seeds": [0, 1, 2, 3, 4],
}
# t(0.975, 4), from a table.
T = 2.7764
ALONE = [0.50, 0.52, 0.48, 0.51, 0.49]
NOISE = [0.01, -0.01, 0.02, 0.0, -0.02]


def plus(scores: Sequence[float], gain: float) -> list[float]:
    """These with a gain that is not quite the same on every seed."""
    return [score + gain + 0.1 * noise for score, noise in zip(scores, NOISE, strict=True)]


def study(
    columns: Mapping[tuple[str, str], Mapping[str, Sequence[float]]],
    controls: Mapping[str, list[str]] | None = None,
    **changes: Any,
) -> tuple[dict[str, Any], list[Row]]:
    """The settings and rows of a study that found these scores; free controls fdkd."""
    methods = list(next(iter(columns.values())))
    controls = {m: ["free"] if m == "fdkd" and "free" in methods else [] for m in methods} | dict(
        controls or {}
    )
    settings = {
        **SETTINGS,
        "directions": dict.fromkeys(direction for direction, _ in columns),
        "regimes": dict.fromkeys(regime for _, regime in columns),
        "methods": {m: {"args": [], "controls": controls[m]} for m in methods},
        "warnings": [],
        "seeds": list(range(len(next(iter(columns.values()))[methods[0]]))),
    } | changes
    rows = [
        Row(method, direction, regime, seed, "", True, {"test_last": v, "test_best": v - 0.1})
        for (direction, regime), column in columns.items()
        for method, values in column.items()
        for seed, v in enumerate(values)
    ]
    return settings, rows


def by_hand(method: Sequence[float], reference: Sequence[float]) -> str:
    """Mean difference and interval in points, of five seeds."""
    differences = [100 * (a - b) for a, b in zip(method, reference, strict=True)]
    half = T * stdev(differences) / math.sqrt(5)
    d = mean(differences)
    return f"{d:+.1f} [{d - half:+.1f}, {d + half:+.1f}]"
