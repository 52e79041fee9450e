"""The picture of a study's table."""

from pathlib import Path
from statistics import mean, stdev
from typing import Any

from fdkd_lightning.ops.optional import require
from fdkd_lightning.study.results import Scores


def plot_scores(path: Path, settings: dict[str, Any], scores: Scores) -> None:
    """Draw every run as a dot, means with standard deviations, a panel per column.

    Args:
        path: The picture to write.
        settings: The study's.
        scores: Column -> method -> one value per seed.
    """
    regimes, directions = list(settings["regimes"]), list(settings["directions"])
    methods = list(settings["methods"])
    size = (1.6 + 3.4 * len(directions), 0.7 + len(regimes) * (0.7 + 0.28 * len(methods)))
    matplotlib = require("matplotlib.figure", extra="plots", purpose="drawing table.png")
    figure = matplotlib.Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(regimes), len(directions), squeeze=False, sharey=True)
    for row, regime in zip(panels, regimes, strict=True):
        for panel, direction in zip(row, directions, strict=True):
            column = scores[direction, regime]
            baseline = 100 * mean(column[settings["baseline"]])
            panel.axvline(baseline, color="0.6", linewidth=1, linestyle="--")
            for place, method in enumerate(methods):
                # Grey: what the methods are measured by.
                named = settings["methods"][method]
                own = bool(named["controls"] or named.get("references"))
                color = "C0" if own else "0.45"
                values = [100 * value for value in column[method]]
                spread = stdev(values) if len(values) > 1 else 0
                panel.plot(values, [place] * len(values), ".", color=color, alpha=0.35, zorder=1)
                panel.errorbar(
                    mean(values), place, xerr=spread, fmt="o", color=color, capsize=3, zorder=2
                )
            panel.set_title(f"{direction}, {regime}", fontsize=10)
            panel.set_yticks(range(len(methods)), methods)
            panel.grid(axis="x", alpha=0.3)
    panels[0, 0].set_ylim(len(methods) - 0.5, -0.5)  # shared by all; the first on top
    figure.supxlabel(
        f"test {settings['metric']}, %: each of {len(settings['seeds'])} seeds,\n"
        f"mean ± standard deviation; dashed: {settings['baseline']}",
        fontsize=9,
    )
    # Tight: a title may be wider than its panel.
    figure.savefig(path, dpi=150, bbox_inches="tight")
