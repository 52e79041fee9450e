"""The figure of a run's learning curves: a panel per term, on one axis of steps."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from fdkd_lightning.report.axis import Axis, make_axis
from fdkd_lightning.report.run_log import Point, Series

STAGES = ("train", "val")
SHARE = "gradient_share/"
"""Beginning of the names that :class:`~fdkd_lightning.GradientShares` logs, a term's follows."""


class Line(NamedTuple):
    """A curve of a panel.

    Args:
        stage: ``train`` or ``val``, the first part of its name; "" if it has none.
        pieces: Points as ``"x,y x,y"``, in percent of the panel, y downwards; the curve is
            interrupted where a value is not finite.
        dots: Points that are alone between such gaps.
        last: Its last value.
    """

    stage: str
    pieces: list[str]
    dots: list[tuple[float, float]]
    last: float


class Panel(NamedTuple):
    """The curves of one quantity, such as the loss.

    Args:
        name: Its name without the stage.
        lines: The curves, training's first.
        y: Axis of its values.
    """

    name: str
    lines: list[Line]
    y: Axis


class CurveFigure(NamedTuple):
    """All panels.

    Args:
        panels: The panels.
        x: Axis of the steps, of all panels.
        chosen: Where the chosen epoch is, in percent of the width; None if it is not known.
    """

    panels: list[Panel]
    x: Axis
    chosen: float | None


def curve_figure(series: Series, chosen_step: int | None = None) -> CurveFigure:
    """Return where everything is drawn.

    Args:
        series: Name -> points; those of one name but for the stage (``train/loss``, ``val/loss``)
            share a panel, as do ``train_loss`` and ``val_loss``. A term's share of the gradient
            (``gradient_share/low``) has the panel after the term's.
        chosen_step: Step of the chosen epoch's validation, as the log counts.

    Example:
        >>> loss = [Point(9, 0, 2.0), Point(19, 1, 1.0)]
        >>> figure = curve_figure({"train/loss": loss}, 19)
        >>> figure.panels[0].name, figure.panels[0].lines[0].pieces, figure.chosen
        ('loss', ['45.0,0.0 95.0,100.0'], 95.0)
    """
    # A name without a stage has a panel of its own, and so has a second one for the same place.
    groups: dict[str, dict[str, list[Point]]] = {}
    for name, points in series.items():
        match = re.fullmatch(rf"({'|'.join(STAGES)})[/_](.+)", name)
        stage, quantity = match.groups() if match else ("", name)
        taken = groups.get(quantity, {})
        if taken and (not stage or "" in taken or stage in taken):
            stage, quantity = "", name if stage else f"{name} (no stage)"
        groups.setdefault(quantity, {})[stage] = points
    steps = [point.step for points in series.values() for point in points]
    x = make_axis([0.0, *steps])
    # The losses first: what is minimised, then its terms.
    order = sorted(groups, key=lambda name: (name != "loss", "train" not in groups[name]))
    panels = [_panel(name, groups[name], x) for name in _shares_beside_terms(order)]
    return CurveFigure(panels, x, None if chosen_step is None else x.place(chosen_step))


def _shares_beside_terms(names: Sequence[str]) -> list[str]:
    shares = {name.removeprefix(SHARE): name for name in names if name.startswith(SHARE)}
    placed = []
    for name in names:
        if not name.startswith(SHARE):
            # DistillationCallback logs distillation/low.
            share = shares.pop(name.removeprefix("distillation/"), None)
            placed += [name] if share is None else [name, share]
    return [*placed, *shares.values()]


def _panel(name: str, lines: dict[str, list[Point]], x: Axis) -> Panel:
    y = make_axis([point.value for points in lines.values() for point in points], ticks=3)
    stages = sorted(lines, key=lambda s: STAGES.index(s) if s in STAGES else len(STAGES))
    title = f"{name.removeprefix(SHARE)}: share of the gradient" if name.startswith(SHARE) else name
    return Panel(title, [_line(stage, lines[stage], x, y) for stage in stages], y)


def _line(stage: str, points: Sequence[Point], x: Axis, y: Axis) -> Line:
    pieces: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if math.isfinite(point.value):
            pieces[-1].append((x.place(point.step), round(100 - y.place(point.value), 2)))
        elif pieces[-1]:
            pieces.append([])
    return Line(
        stage,
        [" ".join(f"{a},{b}" for a, b in piece) for piece in pieces if len(piece) > 1],
        [piece[0] for piece in pieces if len(piece) == 1],
        points[-1].value,
    )
