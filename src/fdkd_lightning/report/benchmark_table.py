"""The table of a benchmark in Markdown, with the command that makes it again."""

from collections.abc import Sequence

from fdkd_lightning.benchmark.machine import machine_text
from fdkd_lightning.benchmark.result_files import Results
from fdkd_lightning.benchmark.row import Row
from fdkd_lightning.report.benchmark_text import byte_text, duration

COLUMNS = ("size", "variant", "median", "quartiles", "repeats", "compared with", "ratio")
EXPLANATION = (
    "Medians of repeats that take turns in one process. A ratio is the median of the ratios to the "
    "variant it is compared with, round by round; in a run, a share of the step."
)


def table_lines(results: Results, sentences: Sequence[str] = ()) -> list[str]:
    """Return the command, the machine, the sentences of a run, and a table per case.

    Args:
        results: The results.
        sentences: What to say before the tables.
    """
    about = results.about
    lines = [
        "# Benchmark",
        "",
        f"    {about['command']}",
        "",
        origin(results),
        "",
        EXPLANATION,
    ]
    if sentences:
        lines += ["", *sentences]
    for case in dict.fromkeys(row.case for row in results.rows):
        question = about.get("questions", {}).get(case, "")
        lines += ["", f"## {case}", "", *([question, ""] if question else [])]
        lines += [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
        lines += [f"| {' | '.join(row_cells(row))} |" for row in results.rows if row.case == case]
    for case, reason in about.get("skipped", {}).items():
        lines += ["", f"{case} was not measured: {reason}."]
    return lines


def origin(results: Results) -> str:
    """Return the machine and the versions in a line."""
    versions = ", ".join(f"{name} {version}" for name, version in results.about["versions"].items())
    return f"Machine: {machine_text(results.about['machine'])}. Versions: {versions}."


def row_cells(row: Row) -> list[str]:
    """Return the text of a row's cells, in the order of ``COLUMNS``.

    Example:
        >>> numbers = 0.001, 0.001, 0.001, 0.002, 5
        >>> row_cells(Row("loss", "64x512", "fast", "s", *numbers, "slow", 0.4))
        ['64x512', 'fast', '1 ms', '1 ms to 2 ms', '5', 'slow', '0.4 (2.5 times less)']
    """
    quartiles = value(row, row.quartile_1), value(row, row.quartile_3)
    spread = "" if row.repeats == 1 else " to ".join(quartiles)
    # Parts of a step have shares of it.
    ratio = (
        ratio_text(row.ratio)
        if row.case != "run" or row.ratio is None
        else f"{100 * row.ratio:.1f} %"
    )
    cells = [row.size, row.variant, value(row, row.median), spread, str(row.repeats)]
    return [*cells, row.compared_with, ratio]


def value(row: Row, number: float) -> str:
    """Return a number in its unit."""
    if row.unit == "s":
        return duration(number)
    return byte_text(number) if row.unit == "bytes" else f"{number:.1e}"


def ratio_text(ratio: float | None) -> str:
    """Return a ratio, and how many times less it is where that says more.

    Example:
        >>> ratio_text(0.4), ratio_text(1.02), ratio_text(0.96), ratio_text(None)
        ('0.4 (2.5 times less)', '1.02', '0.96', '')
    """
    if ratio is None:
        return ""
    less = f" ({1 / ratio:.2g} times less)" if 0.1 < ratio < 0.67 else ""
    return f"{ratio:.3g}{less}"
