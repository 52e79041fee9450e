"""What a study found, as a table and in words."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from fdkd_lightning.report.figures import plot_scores
from fdkd_lightning.study.compare import Difference, leader, paired_difference
from fdkd_lightning.study.results import Row, read_results, scores


def report(folder: Path) -> str:
    """Write ``table.md`` and ``table.png`` from a study's results, and return the text.

    Args:
        folder: The study's, with ``results.csv`` and ``results.json``.

    Raises:
        FileNotFoundError: If there are no results.
    """
    settings, rows = read_results(folder)
    text = "\n".join(["# Results", "", *table(settings, rows), "", *words(settings, rows), ""])
    (folder / "table.md").write_text(text)
    plot_scores(folder / "table.png", settings, scores(settings, rows))
    return text


def table(settings: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """The lines of the tables, one table per regime."""
    found = scores(settings, rows)
    n = len(settings["seeds"])
    epoch = "last epoch" if settings["epoch"] == "last" else "epoch chosen on validation data"
    lines = [
        f"Test {settings['metric']} of the main head in %, {epoch}: mean ± standard deviation "
        f"over n = {n} seeds. Δ: mean paired difference in points, with its 95 % interval.",
    ]
    for regime in settings["regimes"]:
        lines += ["", f"## {regime}"]
        for direction in settings["directions"]:
            column = found[direction, regime]
            lines += [
                "",
                f"### {direction}",
                "",
                f"| method | {settings['metric']} | Δ {settings['baseline']} "
                "| Δ controls and others |",
                "|---|---|---|---|",
            ]
            for method in column:
                to_baseline = _difference(column, method, settings["baseline"])
                to_others = [
                    f"{_cell(_difference(column, method, other))} ({other})"
                    for other in _compared(settings, method)
                ]
                lines.append(
                    f"| {method} | {_score(column[method])} | {_cell(to_baseline)} | "
                    f"{'; '.join(to_others) or '-'} |"
                )
    teachers = _teachers(settings, rows)
    return [*lines, "", f"Teachers, on their own modality: {teachers}."] if teachers else lines


def words(settings: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """What the numbers allow to say, a line per method and column."""
    lines = ["## In words", ""]
    if len(settings["seeds"]) < 2:
        return [*lines, "One seed: no interval, and nothing can be said of differences."]
    intervals = 0
    for (direction, regime), column in scores(settings, rows).items():
        lines += [f"**{direction}, {regime}**", ""]
        for method in column:
            if method != settings["baseline"]:
                lines.append(f"- {_sentence(settings, column, method)}")
                intervals += len({settings["baseline"], *_compared(settings, method)})
        if len(column) > 1:
            best, wins = leader(column)
            claim = (
                "the winner, above every other row" if wins else "not told apart from all others"
            )
            comparisons = f"after correction for {len(column) - 1} comparisons"
            lines += [f"- Highest mean: {best}, {claim} {comparisons}.", ""]
    lines += [f"Warning: {warning}." for warning in settings["warnings"]]
    lines.append(
        "Each interval alone misses the true difference in 1 study of 20: of the "
        f"{intervals} above, {intervals / 20:.1f} do on average."
    )
    return lines


def _sentence(settings: dict[str, Any], column: dict[str, list[float]], method: str) -> str:
    baseline, controls = settings["baseline"], settings["methods"][method]["controls"]
    gain = _difference(column, method, baseline)
    assert gain is not None  # the method is not the baseline
    parts = [f"{method} {_relation(gain, baseline)}"]
    signs = []
    for other in _compared(settings, method):
        difference = _difference(column, method, other)
        assert difference is not None  # no method is compared with itself
        if other in controls:
            signs.append(difference.sign)
        if other != baseline:
            parts.append(f"it {_relation(difference, other)}")
    text = "; ".join(parts)
    if not signs or gain.sign < 1:
        return f"{text}."
    if min(signs) > 0:
        return f"{text}: the teacher adds to what heads and batches alone give."
    return f"{text}: this gain is not shown to be transfer."


def _compared(settings: dict[str, Any], method: str) -> list[str]:
    """A method's controls, then its references, which results of old do not have."""
    named = settings["methods"][method]
    return [*named["controls"], *named.get("references", [])]


def _relation(difference: Difference, reference: str) -> str:
    verb = {1: "is above", -1: "is below", 0: "is not told apart from"}[difference.sign]
    return f"{verb} {reference} ({_cell(difference)}, n = {difference.n})"


def _difference(column: dict[str, list[float]], method: str, reference: str) -> Difference | None:
    if method == reference:
        return None
    return paired_difference(column[method], column[reference])


def _score(values: Sequence[float]) -> str:
    spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f}{spread}"


def _cell(difference: Difference | None) -> str:
    if difference is None:
        return "-"
    values = (100 * v for v in difference[:3])
    if difference.n < 2:
        return f"{next(values):+.1f}"
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*values)


def _teachers(settings: dict[str, Any], rows: Sequence[Row]) -> str:
    value = "test_best"  # whose weights the students saw
    groups: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row.method == "teacher":
            groups.setdefault((row.direction, row.regime), []).append(row.values[value])
    return ", ".join(f"{m} ({regime}) {_score(v)}" for (m, regime), v in groups.items())
