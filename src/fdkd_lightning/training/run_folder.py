"""The folder of a run, as the configuration names it."""

import os
import re
from pathlib import Path


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
