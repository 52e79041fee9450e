"""The folder of a run, as the configuration names it, and its checkpoints."""

import os
import re
from pathlib import Path

from fdkd_lightning.files.checkpoint_file import check_checkpoint


def run_folder(root: str | Path) -> str:
    """Return the folder's path with environment variables expanded, such as a sweep's run id.

    Example:
        >>> os.environ["EXAMPLE"] = "seven"
        >>> run_folder("runs/$EXAMPLE")
        'runs/seven'
    """
    expanded = os.path.expandvars(str(root))
    unset = re.search(r"\$\w+|\${\w+}", expanded)
    if unset:
        raise ValueError(
            f"trainer.default_root_dir={str(root)!r} names {unset[0]}, which is not set: set that "
            "environment variable, or name the folder"
        )
    folder = Path(expanded).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ValueError(
            f"trainer.default_root_dir={expanded!r}: {existing} is not a writable folder: give "
            "another one"
        )
    return expanded


def find_checkpoint(folder: Path, wanted: str) -> Path:
    """Return the path of ``best``, ``last`` or a file, which exists and is whole.

    Raises:
        FileNotFoundError: If there is no such file.
        DamagedCheckpointError: If it is empty, cut off or no checkpoint.
    """
    path = folder / f"{wanted}.ckpt" if wanted in ("best", "last") else Path(wanted)
    if not path.is_file():
        remedy = "train first (fdkd fit with the same --config), or give the path of a checkpoint"
        if wanted == "best" and (folder / "last.ckpt").is_file():
            remedy = "the run was not validated; its last epoch is --ckpt_path=last"
        raise FileNotFoundError(f"there is no file {path.absolute()}: {remedy}")
    others = sorted(other.stem for other in folder.glob("*.ckpt") if other != path)
    remedy = f"use --ckpt_path={others[0]}, or " if others and path.parent == folder else ""
    check_checkpoint(path, str(path), f"{remedy}train again (--overwrite=true)")
    return path
