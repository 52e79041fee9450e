"""The report of a run: its page, and what the command prints."""

import sys
from pathlib import Path

from fdkd_lightning.report.run_page import write_run_page


def print_run(folder: Path) -> None:
    """Write the page of a run, and print its answer and its path.

    Raises:
        SystemExit: With a message, if a file of the run is damaged.
    """
    try:
        path, answer = write_run_page(folder)
    except ValueError as error:
        raise SystemExit(f"fdkd report: {error}") from error
    print("\n".join([*(f"- {sentence}" for sentence in answer), f"report: {path}"]))


def report_after(folder: Path) -> None:
    """Write the page of a run whose command has succeeded, and print its path.

    What is wrong with the report is printed, and does not make a failure of the command.

    Args:
        folder: The run's folder.
    """
    try:
        path, _ = write_run_page(folder)
    except Exception as error:  # the command has done what it was asked for
        print(
            f"the command succeeded, but no report was written: {error} (fdkd report {folder} "
            "--debug shows the traceback)",
            file=sys.stderr,
        )
    else:
        print(f"report: {path}")
