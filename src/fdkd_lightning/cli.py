"""The command line ``fdkd``: choose the command, and import only what it needs."""

import itertools
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version

from fdkd_lightning.ops.near_names import did_you_mean
from fdkd_lightning.training.parser.help_text import COMMANDS, run_help
from fdkd_lightning.training.quiet_lightning import LIGHTNING

DEBUG = "JSONARGPARSE_DEBUG"
"""Name of the environment variable that asks for tracebacks."""

NO_NEWS = (
    *("Tip:", "TPU available: False", "Seed set to", "Restoring states from", "`max_epochs="),
)
"""Parts of Lightning's messages that a person does not need."""

OTHERS = {
    "prepare": "decode a data set's files once, or list what there is to decode",
    "study": "run methods x directions x regimes x seeds, and write tables and a page",
    "benchmark": "measure what training costs: this package, or with --config a run of yours",
    "report": "write the HTML page of a study, a sweep or a run, with tables and figures",
    "sweep": "run a W&B sweep file: on the service with a login, else here on Optuna",
}


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line with these arguments; by default with those of the process.

    An error is reported in at most five lines; with ``--debug`` by its traceback.

    Raises:
        SystemExit: With status 2 if an argument is wrong, else 1, if the command fails.
    """
    given = list(sys.argv[1:] if args is None else args)
    if "--debug" in given:
        given = [argument for argument in given if argument != "--debug"]
        # The parsers raise with it, and so do the other ranks, which inherit it.
        os.environ[DEBUG] = "true"
        if args is None:
            sys.argv[1:] = given
        else:
            args = given
    try:
        _choose(given, args)
    except Exception as error:  # reported here; nothing goes on after it
        if os.environ.get(DEBUG):
            raise
        from fdkd_lightning.training.parser.exception_text import explain_exception

        print(f"error: {explain_exception(error, given)}", file=sys.stderr)
        raise SystemExit(1) from error
    except SystemExit as end:
        if not isinstance(end.code, str):
            raise
        if os.environ.get(DEBUG) and end.__cause__ is not None:
            raise end.__cause__ from None
        from fdkd_lightning.training.parser.exception_text import clip, with_place

        print(clip(with_place(end.code, given)), file=sys.stderr)
        raise SystemExit(1) from end


def _choose(given: list[str], args: Sequence[str] | None) -> None:
    command, rest = (given[0], given[1:]) if given else ("", [])
    if command in ("-h", "--help"):
        print(_overview())
    elif command == "--version":
        print(f"fdkd_lightning {version('fdkd_lightning')}")
    elif command in COMMANDS and {"-h", "--help"} & {*rest}:
        print(run_help(command))
    elif command in COMMANDS or command in OTHERS or command.startswith("-"):
        _run(command, rest, args)
    else:
        names = [*COMMANDS, *OTHERS]
        problem = f"there is no command {command!r}:" if command else "give a command:"
        meant = f"{did_you_mean(command, names, cutoff=0.6)} ".lstrip()
        print(f"fdkd: {problem} {meant}{', '.join(names)}", file=sys.stderr)
        raise SystemExit(2)


def _overview() -> str:
    commands = "\n".join(f"  {name:<10}{what}" for name, what in (COMMANDS | OTHERS).items())
    return (
        "usage: fdkd COMMAND [ARGUMENT ...]\n\nCross-modal knowledge distillation.\n\n"
        f"commands:\n{commands}\n\nfdkd COMMAND --help shows its arguments, fdkd --version the "
        "version."
    )


def _run(command: str, rest: list[str], args: Sequence[str] | None) -> None:
    # In-memory data sets are fastest without workers; data modules of files have num_workers.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # Lightning uses a name that torch deprecates.
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
    # What the folder may hold has been checked.
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    # A sweep gives the arguments of its trials, in a process that has its own.
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
    for package, module in itertools.product(LIGHTNING, ("rank_zero", "seed")):
        logging.getLogger(f"{package}.utilities.{module}").addFilter(_is_news)
    # Imported here: torch and Lightning take seconds.
    if command == "study":
        from fdkd_lightning.report.study_report import print_study
        from fdkd_lightning.report.wandb_study import log_study
        from fdkd_lightning.study.command import study

        finished = study(rest)
        try:
            print_study(finished)
        finally:  # runs may have failed
            log_study(finished)
    elif command == "sweep":
        from fdkd_lightning.report.sweep_report import print_sweep
        from fdkd_lightning.study.sweep.command import sweep

        folder = sweep(rest)
        if folder is not None:
            print_sweep(folder)
    elif command == "report":
        from fdkd_lightning.report.command import print_report, report_folder

        print_report(report_folder(rest))
    elif command == "prepare":
        from fdkd_lightning.data.command import prepare_set
        from fdkd_lightning.training.parser.clear_parser import ClearParser

        prepare_set(rest, ClearParser)
    elif command == "analyze":
        from fdkd_lightning.analysis.command import analyze
        from fdkd_lightning.report.analysis_report import print_analysis

        print_analysis(analyze(args))
    elif command == "cache":
        from fdkd_lightning.training.cache.command import cache

        cache(args)
    elif command == "benchmark":
        from fdkd_lightning.benchmark.command import benchmark
        from fdkd_lightning.report.benchmark_report import print_benchmark

        measured = benchmark(rest, args)
        if measured is not None:
            print_benchmark(measured)
    elif command == "export":
        from fdkd_lightning.export.command import export

        export(args)
    else:
        from fdkd_lightning.training.command import FDKDCLI

        folder = FDKDCLI(args).reported_folder
        if folder is not None:
            from fdkd_lightning.export.wandb_card import log_card
            from fdkd_lightning.report.render import PAGE
            from fdkd_lightning.report.run_report import report_after

            report_after(folder)
            log_card(folder, folder / PAGE)


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out advertisements, what is not there, and what the configuration says already."""
    message = record.getMessage()
    return not any(part in message for part in NO_NEWS)
