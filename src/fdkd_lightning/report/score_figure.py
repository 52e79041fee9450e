"""Figure of a study's scores: a panel per regime and direction."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from textwrap import wrap
from typing import Any

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.ops.optional import require
from fdkd_lightning.study.results import Scores


def plot_scores(path: Path, settings: dict[str, Any], scores: Scores) -> None:
    """Draw each run as a dot and each method's mean with its standard deviation.

    Args:
        path: The image file to write.
        settings: The study's settings, see :func:`~fdkd_lightning.study.results.read_results`.
        scores: (Direction, regime) -> method -> one score per seed, as fractions of 1.

    Example:
        >>> import tempfile
        >>> settings = {
        ...     "metric": "accuracy",
        ...     "baseline": "w/o KD",
        ...     "regimes": {"full": {}},
        ...     "directions": {"audio to visual": {}},
        ...     "methods": {"w/o KD": {"controls": []}, "KD": {"controls": ["w/o KD"]}},
        ...     "seeds": [0, 1],
        ... }
        >>> scores = {("audio to visual", "full"): {"w/o KD": [0.5, 0.6], "KD": [0.7, 0.8]}}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_scores(Path(folder, "table.png"), settings, scores)
    """
    regimes, directions = list(settings["regimes"]), list(settings["directions"])
    methods = list(settings["methods"])
    size = (1.6 + 3.4 * len(directions), 0.7 + len(regimes) * (0.7 + 0.28 * len(methods)))
    matplotlib = require("matplotlib.figure", extra="plots", purpose="drawing table.png")
    figure = matplotlib.Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(regimes), len(directions), squeeze=False, sharex=True, sharey=True)
    for row, regime in zip(panels, regimes, strict=True):
        for panel, direction in zip(row, directions, strict=True):
            column = scores[direction, regime]
            baseline = _percent(column[settings["baseline"]])
            if baseline:
                panel.axvline(mean(baseline), color="0.6", linewidth=1, linestyle="--")
            for position, method in enumerate(methods):
                entry = settings["methods"][method]
                # Baseline and controls are grey.
                compared = entry["controls"] or entry.get("references")
                color = "C0" if compared else "0.45"
                values = _percent(column[method])
                if not values:
                    continue
                spread = stdev(values) if len(values) > 1 else 0
                panel.plot(values, [position] * len(values), ".", color=color, alpha=0.35, zorder=1)
                panel.errorbar(
                    mean(values), position, xerr=spread, fmt="o", color=color, capsize=3, zorder=2
                )
            panel.set_title("\n".join([*wrap(direction, 42), *wrap(regime, 42)]), fontsize=10)
            panel.set_yticks(range(len(methods)), methods)
            panel.grid(axis="x", alpha=0.3)
    panels[0, 0].set_ylim(len(methods) - 0.5, -0.5)  # shared by all panels; the first method on top
    figure.supxlabel(
        f"test {settings['metric']}, %: each of {len(settings['seeds'])} seeds,\n"
        f"mean ± standard deviation; dashed: {settings['baseline']}",
        fontsize=9,
    )
    # A title may be wider than its panel.
    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix[1:] or "png", dpi=150, bbox_inches="tight")


def _percent(values: Sequence[float]) -> list[float]:
    """Scores in percent, without those of failed runs."""
    return [100 * value for value in values if not math.isnan(value)]
