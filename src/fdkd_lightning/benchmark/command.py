"""``fdkd benchmark``: the cost of this package, or with ``--config`` of a run of the user's."""

import logging
import re
import time
import warnings
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from fdkd_lightning.benchmark.about import about_benchmark
from fdkd_lightning.benchmark.cases.all_cases import CASES
from fdkd_lightning.benchmark.cases.case import Case
from fdkd_lightning.benchmark.measure import Limits
from fdkd_lightning.benchmark.result_files import write_results
from fdkd_lightning.benchmark.row import Row
from fdkd_lightning.benchmark.run.command import benchmark_run
from fdkd_lightning.ops.near_names import did_you_mean
from fdkd_lightning.training.quiet_lightning import quiet_lightning

DESCRIPTION = """\
Measure what training costs, by repeats that take turns in one process. The folder receives
benchmark.csv, benchmark.json, table.md, figure.png and figure.svg.

  fdkd benchmark                        this package: its losses, methods and training steps
  fdkd benchmark --cases=loss,step      some of the cases
  fdkd benchmark --config run.yaml ...  a run of yours, with the arguments of fdkd fit: what bounds
                                        its step, and what a teacher cache would give"""

OWN_RUN = """\
with --config, in addition to the arguments of fdkd fit:
  --folder FOLDER    default: benchmark in the run's folder, which is not written to otherwise
  --steps N          steps to measure, as configured and with a cache each; default: 40
  --rounds N         fits of each, in turn, which share the steps; default: 2
  --seconds S        most seconds of a fit; default: 30"""


def benchmark(rest: Sequence[str], args: Sequence[str] | None = None) -> Path | None:
    """Measure, and return the folder with ``benchmark.csv`` and ``benchmark.json``.

    Other ranks than the first return None.

    Args:
        rest: The arguments after ``fdkd benchmark``.
        args: All arguments; None: those of the process, with which other ranks are started.

    Raises:
        SystemExit: With a message, if an argument is invalid.
    """
    if any(re.match(r"-c\b|--(config|help-all)\b", argument) for argument in rest):
        return benchmark_run(args)
    return _benchmark_package(rest)


def _benchmark_package(args: Sequence[str]) -> Path:
    names = [case.name for case in CASES]
    parser = ArgumentParser(
        "fdkd benchmark",
        description=DESCRIPTION,
        epilog=OWN_RUN,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="a run's configuration")
    parser.add_argument(
        "--cases", metavar="NAMES", help=f"some of {','.join(names)}; default: all of them"
    )
    parser.add_argument("--folder", type=Path, help="default: runs/benchmark")
    parser.add_argument("--repeats", type=int, default=5, help="of each, at least; default: 5")
    parser.add_argument(
        "--seconds",
        type=float,
        default=2.0,
        help="repeat each comparison for so long; default: 2",
    )
    parsed = parser.parse_args(args)
    try:
        cases = chosen(parsed.cases)
        limits = Limits(parsed.repeats, parsed.seconds).checked()
    except (ValueError, TypeError) as error:
        parser.error(str(error))
    folder: Path = parsed.folder or Path("runs/benchmark")
    start, about = time.perf_counter(), about_benchmark(["benchmark", *args])
    rows, skipped = measure_cases(cases, limits)
    about["seconds"] = round(time.perf_counter() - start)
    about["questions"] = {case.name: case.question for case in cases}
    write_results(folder, rows, {**about, "skipped": skipped})
    return folder


def chosen(names: str | None) -> list[Case]:
    """Return the cases that ``--cases`` names, in brackets or without; None: all.

    Raises:
        ValueError: If a name is unknown.

    Example:
        >>> [case.name for case in chosen("[step,loss]")]
        ['loss', 'step']
    """
    if names is None:
        return [*CASES]
    wanted = [name.strip() for name in names.strip("[]").split(",")]
    known = [case.name for case in CASES]
    for name in wanted:
        if name not in known:
            meant = f"{did_you_mean(name, known)} ".lstrip()
            raise ValueError(f"--cases names {name!r}: {meant}choose among {','.join(known)}")
    return [case for case in CASES if case.name in wanted]


def measure_cases(cases: Sequence[Case], limits: Limits) -> tuple[list[Row], dict[str, str]]:
    """Measure cases; return their rows, and why a case was left out."""
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    with (
        quiet_lightning(logging.ERROR),  # it announces each of the many fits
        warnings.catch_warnings(),
        tqdm(total=sum(len(case.groups) for case in cases), unit="comparison") as bar,
    ):
        # They advise on training, such as to validate.
        warnings.filterwarnings("ignore", module=r"lightning\.")
        for case in cases:
            bar.set_description(case.name)
            for group in case.groups:
                try:
                    rows += group(limits)
                except ImportError as error:  # an extra that is not installed
                    skipped[case.name] = str(error)
                bar.update()
    return rows, skipped
