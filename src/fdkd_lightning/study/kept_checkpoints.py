"""Checkpoints that an interrupted study has kept: whether they can be used."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fdkd_lightning.files.checkpoint_file import DamagedCheckpointError, load_checkpoint


class DamagedRunWarning(UserWarning):
    """A run's checkpoints were damaged, and it was made again from its beginning."""


def forget_damaged(run_folder: Path) -> str | None:
    """Remove a run's checkpoints and result if one of the checkpoints is damaged or missing.

    Returns:
        What was wrong, in a sentence; None: nothing, or the run has no checkpoint yet.
    """
    best, last = (run_folder / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    result = run_folder / "result.json"
    if result.exists():
        needed = [best]  # as a teacher
    elif last.exists():
        needed = [last, best]  # to resume, and to evaluate
    else:
        return None  # it starts from its beginning anyway
    problem = next((found for found in map(_problem, needed) if found is not None), None)
    if problem is None:
        return None
    result.unlink(missing_ok=True)
    for path in (best, last):
        path.unlink(missing_ok=True)
    return f"{problem}, and the run was made again from its beginning"


def check_finite(run: str, values: Mapping[str, Any]) -> None:
    """Raise if a weight or a metric is NaN or infinite: the run is no result."""
    for name, value in values.items():
        if isinstance(value, Tensor):
            finite = bool(value.isfinite().all())
        else:
            finite = not isinstance(value, float) or math.isfinite(value)
        if not finite:
            raise FloatingPointError(
                f"{run} diverged: {name} is NaN or infinite: lower its learning rate or a weight, "
                "and start the study again"
            )


def _problem(path: Path) -> str | None:
    if not path.exists():
        return f"{path.name} was missing"
    try:
        load_checkpoint(path, path.name)
    except DamagedCheckpointError:
        return f"{path.name} was damaged"
    return None
