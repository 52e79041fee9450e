"""Heat maps of a sweep: the metric over each pair of parameters, such as threshold x lambda."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.ops.optional import require
from fdkd_lightning.study.sweep.sweep_results import SweepResults

MOST_PARAMETERS, MOST_VALUES = 3, 12


@dataclass(frozen=True)
class HeatMap:
    """The mean of the metric for each pair of values, over all other parameters.

    Args:
        x: Name of the horizontal parameter.
        y: Name of the vertical parameter.
        cells: (Value of x, value of y) -> (mean, number of trials).
    """

    x: str
    y: str
    cells: dict[tuple[Any, Any], tuple[float, int]]

    def values(self, axis: int) -> list[Any]:
        """Return the values of an axis, numbers in ascending order."""
        found = list(dict.fromkeys(pair[axis] for pair in self.cells))
        numbers = all(isinstance(value, int | float) for value in found)
        return sorted(found) if numbers else sorted(found, key=str)


def heat_maps(results: SweepResults) -> list[HeatMap]:
    """Return a map per pair of the most important parameters with several values.

    Parameters with more than 12 values, such as those sampled from a range, are put into 6 bins of
    equally many trials, named by their mean.
    """
    trials = results.finished
    names = list(trials[0].parameters) if trials else []
    ranked = sorted(names, key=lambda name: -results.importance.get(name, 0.0))
    columns = {name: _columns([trial.parameters[name] for trial in trials]) for name in ranked}
    varied = [name for name in ranked if len({*columns[name]}) > 1][:MOST_PARAMETERS]
    # In the order of the file's parameters.
    varied.sort(key=names.index)
    maps = []
    for y, x in itertools.combinations(varied, 2):
        groups: dict[tuple[Any, Any], list[float]] = {}
        for trial, *pair in zip(trials, columns[x], columns[y], strict=True):
            assert trial.last is not None  # a finished trial
            groups.setdefault((pair[0], pair[1]), []).append(trial.last)
        maps.append(HeatMap(x, y, {k: (mean(v), len(v)) for k, v in groups.items()}))
    return maps


CELLS = ("x", "x_value", "y", "y_value", "mean", "trials")
"""Columns of :func:`cell_rows`."""


def cell_rows(maps: Sequence[HeatMap]) -> list[tuple[Any, ...]]:
    """Return the numbers of the maps as rows of a table."""
    return [
        (each.x, x, each.y, y, value, count)
        for each in maps
        for (x, y), (value, count) in each.cells.items()
    ]


def plot_heat_maps(path: Path, results: SweepResults, maps: Sequence[HeatMap]) -> None:
    """Draw the maps side by side; each cell holds its number, so that it reads without colour.

    Args:
        path: The image file to write.
        results: The sweep's results.
        maps: At least one map.
    """
    matplotlib = require("matplotlib.figure", extra="plots", purpose="drawing heatmap.png")
    figure = matplotlib.Figure(figsize=(0.6 + 4.2 * len(maps), 3.8), layout="constrained")
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    means = [value for each in maps for value, _ in each.cells.values()]
    middle = (min(means) + max(means)) / 2
    for panel, each in zip(panels, maps, strict=True):
        xs, ys = each.values(0), each.values(1)
        grid = [[each.cells.get((x, y), (float("nan"), 0))[0] for x in xs] for y in ys]
        image = panel.imshow(
            grid, cmap="cividis", vmin=min(means), vmax=max(means), aspect="auto", origin="lower"
        )
        for (x, y), (value, _) in each.cells.items():
            color = "white" if value < middle else "black"
            place = (xs.index(x), ys.index(y))
            panel.annotate(f"{value:.3f}", place, ha="center", va="center", color=color, fontsize=8)
        panel.set_xticks(range(len(xs)), [axis_label(x) for x in xs])
        panel.set_yticks(range(len(ys)), [axis_label(y) for y in ys])
        panel.set_xlabel(each.x.rpartition(".")[2])
        panel.set_ylabel(each.y.rpartition(".")[2])
    figure.colorbar(image, ax=panels[-1])
    figure.suptitle(f"{results.metric} at the last validation, mean over other parameters", size=9)
    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix[1:] or "png", dpi=150, bbox_inches="tight")


def _columns(values: list[Any]) -> list[Any]:
    """Return hashable values, and the means of bins for many numbers."""
    if not all(isinstance(value, int | float) for value in values):
        return [value if isinstance(value, str) else str(value) for value in values]
    if len({*values}) <= MOST_VALUES:
        return values
    order = sorted(range(len(values)), key=values.__getitem__)
    size = -(-len(values) // 6)
    binned = list(values)
    for start in range(0, len(order), size):
        members = order[start : start + size]
        for index in members:
            binned[index] = mean(values[member] for member in members)
    return binned


def axis_label(value: Any) -> str:
    """Format a value of an axis."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
