"""The command line: ``fdkd fit | validate | test | predict``, and ``fdkd study`` for many runs."""

import sys
import warnings
from collections.abc import Sequence

from fdkd_lightning.run import FDKDCLI
from fdkd_lightning.study.command import study


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: The arguments; None: those of the process.
    """
    command, *rest = (sys.argv[1:] if args is None else args) or [""]
    # The console script finds a user's modules where `python -m fdkd_lightning` does.
    if "" not in sys.path:
        sys.path.insert(0, "")
    # Our in-memory sets are fastest without workers; the files of others have num_workers.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    if command == "study":
        study(rest)
    else:
        FDKDCLI(args)
