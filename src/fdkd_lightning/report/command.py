"""``fdkd report``: write the report of what a folder holds."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path

from fdkd_lightning.benchmark.result_files import JSON
from fdkd_lightning.report.benchmark_report import print_benchmark
from fdkd_lightning.report.run_files import is_run
from fdkd_lightning.report.run_report import print_run
from fdkd_lightning.report.study_report import print_study
from fdkd_lightning.report.sweep_report import print_sweep

DESCRIPTION = """\
Write report.html into a folder: one page that needs no network and no file beside it. The values of
its figures are CSV files beside it. The folder may be that of

  a study      (results.csv)     also table.md, table.png and differences.csv; its classes that
                                 gained and lost, where its runs hold predictions.csv
  a sweep      (sweep.json)      also table.md, heatmap.png and heatmap.csv
  a benchmark  (benchmark.json)  also table.md, figure.png and figure.svg
  a run        (run.json, or logs/ of fdkd fit)  the values are in report/: curves.csv and, of
                                 predictions.csv, confusion.csv, classes.csv and calibration.csv

fdkd study, sweep, benchmark, fit, test and predict write it at their end. What a page lacks is
named in it, with the command that makes it."""


def report_folder(args: Sequence[str]) -> Path:
    """Return the folder that the arguments of ``fdkd report`` name.

    Args:
        args: The arguments after ``fdkd report``.

    Raises:
        SystemExit: If they are not one folder.
    """
    parser = ArgumentParser(
        "fdkd report",
        description=DESCRIPTION,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder", type=Path, help="folder of a study, a sweep, a benchmark or a run"
    )
    folder: Path = parser.parse_args(args).folder
    return folder


def print_report(folder: Path) -> None:
    """Write and print the report of a study, a sweep, a benchmark or a run.

    Raises:
        SystemExit: With a message, if the folder holds none of them, or damaged files.
    """
    _printer_of(folder)(folder)


def _printer_of(folder: Path) -> Callable[[Path], None]:
    """Choose the report by the files in the folder."""
    if (folder / "results.csv").is_file():
        return print_study
    if (folder / "sweep.json").is_file():
        return print_sweep
    if (folder / JSON).is_file():
        return print_benchmark
    if is_run(folder):
        return print_run
    raise SystemExit(f"fdkd report: {_problem(folder)}")


def _problem(folder: Path) -> str:
    if not folder.is_dir():
        return f"there is no folder {folder}: give that of a study, a sweep, a benchmark or a run"
    if any(map(is_run, folder.glob("runs/*"))):
        return (
            f"{folder} holds runs of a study that has not ended (no results.csv): start fdkd study "
            f"again, which keeps them, or report one of them ({folder / 'runs'}/...)"
        )
    if (folder / "sweep.db").is_file():
        return (
            f"{folder} holds a sweep that has not ended (no sweep.json): start fdkd sweep again, "
            "which keeps its trials"
        )
    below = sorted(path.parent for path in folder.glob("*/run.json"))
    near = f", such as {below[0]}" if below else ""
    return (
        f"{folder} holds no results.csv (study), sweep.json (sweep), benchmark.json (benchmark), "
        f"run.json or logs (run): give the folder of one of them{near}"
    )
