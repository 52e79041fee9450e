"""``fdkd sweep``: run the sweep that a W&B file describes, on the service or locally."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from fdkd_lightning.study.sweep.local import SweepError, run_locally
from fdkd_lightning.study.sweep.online import has_login, run_on_service
from fdkd_lightning.study.sweep.sweep_file import read_sweep_file
from fdkd_lightning.study.sweep.sweep_results import collect, write_results

DESCRIPTION = """\
Run the sweep of a Weights & Biases file. With a login (wandb login, or WANDB_API_KEY) it is created
on the service, and an agent runs its trials. Without, the trials run here on Optuna: grid, random,
bayes (TPE), with W&B's rule of early termination. An interrupted sweep resumes: start it again.
Several processes, or machines with a common --storage, share the trials. The folder receives
trials.csv, sweep.json, table.md, report.html, heatmap.png with its heatmap.csv, and best.yaml, an
overlay with the parameters of the best trial: best by the metric at the last validation."""


def sweep(args: Sequence[str]) -> Path | None:
    """Run ``fdkd sweep`` up to its results.

    Args:
        args: The arguments after ``fdkd sweep``.

    Returns:
        The folder of the results; None if the sweep ran on W&B's service, which has them.

    Raises:
        SystemExit: With a message, if an argument or the file is invalid, or the first trials fail.
    """
    parser = ArgumentParser(
        "fdkd sweep",
        description=DESCRIPTION,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, help="YAML file of a sweep, such as configs/sweep.yaml")
    parser.add_argument(
        "--folder", type=Path, help="of the results; default: runs/ and the file's name"
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="database, such as postgresql://user@host/name; default: sweep.db in the folder",
    )
    parser.add_argument("--count", type=int, help="run at most so many trials in this process")
    parser.add_argument("--local", action="store_true", help="run here in spite of a login")
    parsed = parser.parse_args(args)
    if parsed.count is not None and parsed.count < 1:
        parser.error(f"--count={parsed.count} must be at least 1")
    folder: Path = parsed.folder or Path("runs") / parsed.file.stem
    try:
        if not parsed.local and parsed.storage is None and has_login():
            run_on_service(parsed.file, parsed.count)
            return None
        plan = read_sweep_file(parsed.file)
        store = run_locally(plan, folder, parsed.storage, parsed.count)
    except (ValueError, OSError, SweepError) as error:
        raise SystemExit(f"fdkd sweep: {error}") from error
    write_results(collect(store), plan.parameters, folder)
    return folder
