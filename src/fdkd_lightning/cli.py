"""The command line: ``fdkd fit | validate | test | predict``, and what goes before and beyond."""

import logging
import sys
import warnings
from collections.abc import Sequence

from fdkd_lightning.data.command import prepare_set
from fdkd_lightning.export.command import export
from fdkd_lightning.report.command import report
from fdkd_lightning.study.command import study
from fdkd_lightning.training.command import FDKDCLI


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: The arguments; None: those of the process.
    """
    command, *rest = (sys.argv[1:] if args is None else args) or [""]
    # Our in-memory sets are fastest without workers; the files of others have num_workers.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # Lightning's own use of a name that torch deprecates, and its advertisements.
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
    # Whichever of its two packages was imported last logs for both.
    for package in ("lightning.pytorch", "pytorch_lightning"):
        logging.getLogger(f"{package}.utilities.rank_zero").addFilter(_is_no_tip)
    if command == "study":
        print(report(study(rest)))
    elif command == "prepare":
        prepare_set(rest)
    elif command == "export":
        export(args)
    else:
        FDKDCLI(args)


def _is_no_tip(record: logging.LogRecord) -> bool:
    return "Tip:" not in record.getMessage()
