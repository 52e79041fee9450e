"""Summary after ``fit`` and ``test``: the best checkpoint and the next command."""

import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path

from fdkd_lightning.training.run.run_record import read_run

OF_FIT = ("--overwrite", "--ckpt_path")
"""Arguments that the next command does not take over."""


def summary_lines(
    root: str | Path, monitor: str | None, command: Sequence[str], following: str
) -> list[str]:
    """Return the lines: the best value, its epoch, its checkpoint's path, and the next command.

    Args:
        root: The run's folder.
        monitor: Name of the metric that the best checkpoint is best in.
        command: The arguments of the command that has ended, its name first.
        following: Name of the next command.

    Example:
        >>> summary_lines("nowhere", "val/accuracy", ["fit", "--config=a.yaml"], "test")
        ['next: fdkd test --config=a.yaml']
    """
    record = read_run(root) or {"checkpoints": {}, "evaluations": []}
    lines = []
    if evaluated := command[:1] == ["test"] and record["evaluations"]:
        latest = evaluated[-1]
        checkpoint = latest["checkpoint"] or {"file": "weights in memory", "epoch": None}
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in latest["metrics"].items())
        epoch = "" if checkpoint["epoch"] is None else f", epoch {checkpoint['epoch']}"
        lines.append(f"tested: {checkpoint.get('file', 'a checkpoint')}{epoch}: {numbers}")
    best = record["checkpoints"].get("best")
    if best is not None:
        metrics = (best.get("validation") or {}).get("metrics", {})
        value = f"{monitor} {metrics[monitor]:.4f} in " if monitor in metrics else ""
        path = Path(root) / "checkpoints" / best["file"]
        lines.append(f"best: {value}epoch {best['epoch']} (counted from 0): {path}")
    return [*lines, f"next: {following_command(command, following)}"]


def following_command(command: Sequence[str], following: str) -> str:
    """Return the command line that goes on from a run, with the arguments that it needs.

    Args:
        command: Arguments of the run's command, its name first.
        following: Name of the next command.

    Example:
        >>> following_command(["fit", "--config=a.yaml", "--overwrite=true"], "test")
        'fdkd test --config=a.yaml'
    """
    kept = [
        argument
        for before, argument in itertools.pairwise(command)
        if argument.partition("=")[0] not in OF_FIT and before not in OF_FIT
    ]
    return f"fdkd {shlex.join([following, *kept])}"
