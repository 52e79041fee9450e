"""The report of a study: ``table.md``, ``table.png`` and the page, in the study's folder."""

from pathlib import Path

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.report.answer_text import answer_lines
from fdkd_lightning.report.comparison_text import comparison_lines
from fdkd_lightning.report.design_warnings import design_warnings
from fdkd_lightning.report.render import PAGE
from fdkd_lightning.report.score_figure import plot_scores
from fdkd_lightning.report.score_table import score_tables
from fdkd_lightning.report.study_page import write_study_page
from fdkd_lightning.study.results import read_results, scores


def print_study(folder: Path) -> None:
    """Write the report, print it, or its tables and answer; fail if runs failed, by their names.

    Raises:
        SystemExit: With a message, if the folder holds no results or runs failed.
    """
    text = report_study(folder)
    settings, rows = read_results(folder)
    answer = answer_lines(settings, rows)
    # What a study asks about fits a screen; all comparisons are in table.md.
    warnings = [f"Warning: {warning}." for warning in design_warnings(settings)]
    short = [*score_tables(settings, rows), "", *answer, "", *warnings, *([""] if warnings else [])]
    print("\n".join(short) if answer else text)
    print(f"report: {folder / PAGE}")
    failures = settings["failures"]
    if failures:
        first = next(iter(failures.values()))
        raise SystemExit(
            f"fdkd study: {len(failures)} runs failed, and are missing in {folder / 'table.md'}, "
            f"the first: {first}. Fix the cause and start the study again: it executes only the "
            "missing runs"
        )


def report_study(folder: Path) -> str:
    """Write ``table.md``, its figure and the page from a study's results; return the text.

    Args:
        folder: Folder of a finished study, with ``results.csv`` and ``results.json``.

    Raises:
        SystemExit: With a message, if the folder holds no results or damaged ones.
    """
    try:
        settings, rows = read_results(folder)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"fdkd report: {error}") from error
    answer = answer_lines(settings, rows)
    lines = ["# Results", "", *answer, *([""] if answer else [])]
    lines += [*score_tables(settings, rows), "", *comparison_lines(settings, rows)]
    if settings["failures"]:
        lines += ["", "## Failed runs", ""]
        lines += [f"- {' '.join(failure.split())}" for failure in settings["failures"].values()]
    text = "\n".join([*lines, ""])
    with atomic_write(folder / "table.md", "w") as file:
        file.write(text)
    plot_scores(folder / "table.png", settings, scores(settings, rows))
    write_study_page(folder, settings, rows)
    return text
