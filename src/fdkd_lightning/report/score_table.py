"""Markdown tables of a study's scores, with paired differences between methods."""

import math
from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from fdkd_lightning.study.paired_difference import Difference, paired_difference
from fdkd_lightning.study.results import Row, scores


def score_tables(settings: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """Return the lines of a caption, a table per regime and direction, and the teachers' scores."""
    found = scores(settings, rows)
    lines = [caption(settings)]
    for regime in settings["regimes"]:
        lines += ["", f"## {regime}"]
        for direction in settings["directions"]:
            column = found[direction, regime]
            lines += [
                "",
                f"### {direction}",
                "",
                f"| method | {settings['metric']} | Δ {settings['baseline']} "
                "| Δ controls and references |",
                "|---|---|---|---|",
            ]
            for method in column:
                to_baseline = _difference_cell(column, method, settings["baseline"])
                to_others = [
                    f"{_difference_cell(column, method, other)} ({other})"
                    for other in compared_with(settings, method)
                ]
                lines.append(
                    f"| {method} | {score_text(column[method])} | {to_baseline} | "
                    f"{'; '.join(to_others) or '-'} |"
                )
    groups = teacher_scores(rows)
    if not groups:
        return lines
    teachers = ", ".join(f"{m} ({regime}) {score_text(v)}" for (m, regime), v in groups.items())
    return [
        *lines,
        "",
        f"Teachers, on their own modality, epoch with the best validation score: {teachers}.",
    ]


def selected_table(
    settings: dict[str, Any], rows: Sequence[Row], regime: str, methods: Sequence[str]
) -> list[str]:
    r"""Return the lines of one small table: some methods, one regime, all directions side by side.

    Args:
        settings: The study's settings, see :func:`~fdkd_lightning.study.results.read_results`.
        rows: Rows of all runs.
        regime: Name of the regime.
        methods: Names of the methods, in the order of the table's rows.

    Raises:
        ValueError: If the study has no such regime or method.

    Example:
        >>> settings = {
        ...     "epoch": "last",
        ...     "baseline": "w/o KD",
        ...     "regimes": {"full": {}},
        ...     "directions": {"audio to visual": {}},
        ...     "methods": {"w/o KD": {}, "KD": {}, "Feat": {}},
        ... }
        >>> rows = [
        ...     Row(name, "audio to visual", "full", seed, "", True, {"test_last": score})
        ...     for name, values in {"w/o KD": [0.5, 0.6], "KD": [0.7, 0.8]}.items()
        ...     for seed, score in enumerate(values)
        ... ]
        >>> print(*selected_table(settings, rows, "full", ["w/o KD", "KD"]), sep="\n")
        | method | audio to visual | Δ w/o KD |
        |---|---|---|
        | w/o KD | 55.0 ± 7.1 | - |
        | KD | 75.0 ± 7.1 | +20.0 [+20.0, +20.0] |
    """
    for key, names in (("regimes", [regime]), ("methods", methods)):
        for name in names:
            if name not in settings[key]:
                raise ValueError(f"{name!r} is not among the {key}: {', '.join(settings[key])}")
    found = scores(settings, rows)
    baseline, directions = settings["baseline"], list(settings["directions"])
    heads = [cell for direction in directions for cell in (direction, f"Δ {baseline}")]
    lines = [f"| method | {' | '.join(heads)} |", f"|---|{len(heads) * '---|'}"]
    for method in methods:
        cells = []
        for direction in directions:
            column = found[direction, regime]
            cells += [score_text(column[method]), _difference_cell(column, method, baseline)]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def caption(settings: dict[str, Any]) -> str:
    """Return the sentences above a table: what is measured, over how many seeds."""
    epoch = "last epoch" if settings["epoch"] == "last" else "epoch with the best validation score"
    return (
        f"Test {settings['metric']} of the student's own classifier in %, {epoch}: mean ± standard "
        f"deviation over n = {len(settings['seeds'])} seeds. Δ: mean paired difference in "
        "percentage points [95 % confidence interval]."
    )


def compared_with(settings: dict[str, Any], method: str) -> list[str]:
    """Return a method's controls, then its references."""
    entry = settings["methods"][method]
    # Results written before methods had references lack the key.
    return [*entry["controls"], *entry.get("references", [])]


def difference_text(difference: Difference) -> str:
    """Format a difference of fractions in percentage points, with its interval if there is one.

    Example:
        >>> difference_text(Difference(0.1, 0.05, 0.15, n=3))
        '+10.0 [+5.0, +15.0]'
    """
    if not difference.n:
        return "failed"
    values = (100 * value for value in difference[:3])
    if difference.n < 2:
        return f"{next(values):+.1f}"
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*values)


def _difference_cell(column: dict[str, list[float]], method: str, reference: str) -> str:
    if method == reference:
        return "-"
    return difference_text(paired_difference(column[method], column[reference]))


def score_text(values: Sequence[float]) -> str:
    """Format scores of several seeds in percent: mean, standard deviation, and failed runs.

    Example:
        >>> score_text([0.5, 0.6])
        '55.0 ± 7.1'
    """
    found = [value for value in values if not math.isnan(value)]
    if not found:
        return "failed"
    spread = f" ± {100 * stdev(found):.1f}" if len(found) > 1 else ""
    lost = len(values) - len(found)
    note = f" ({lost} of {len(values)} runs failed)" if lost else ""
    return f"{100 * mean(found):.1f}{spread}{note}"


def teacher_scores(rows: Sequence[Row]) -> dict[tuple[str, str], list[float]]:
    """Return (modality, regime) -> the teachers' test scores, one per seed."""
    groups: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row.method == "teacher" and row.chosen:
            # The students learn from the weights of the best validation epoch.
            groups.setdefault((row.direction, row.regime), []).append(row.values["test_best"])
    return groups
