"""Where results come from: versions, commit, data and weight files."""

import hashlib
import importlib.metadata
import platform
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from fdkd_lightning.training.run.redaction import redact

PACKAGES = ("fdkd_lightning", "torch", "lightning", "torchmetrics", "timm", "torchaudio")


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **versions}


def git_commit(folder: Path, *paths: str) -> str | None:
    """Return the commit that a folder is at, with ``-dirty`` if tracked files were changed.

    With ``paths`` only changes below these count.

    Returns:
        None if the folder is not in a git checkout, or git is not installed.
    """
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return None
    return f"{commit}-dirty" if _git(folder, "status", "--porcelain", "-uno", *paths) else commit


def package_commit() -> str | None:
    """Return the commit of the clone that holds this package, as :func:`git_commit` does.

    Returns:
        None if the package is not in a clone of its own: installed into another project's
        environment, it has no commit.
    """
    here = Path(__file__)
    is_tracked = _git(here.parent, "ls-files", here.name)
    return git_commit(here.parents[2], ".") if is_tracked else None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_data(spec: Mapping[str, Any], loading: Collection[str]) -> dict[str, Any]:
    """Return class path and arguments of a data module, without those that only concern loading.

    Two runs have the same data if this is equal.

    Example:
        >>> spec = {"class_path": "mine.Data", "init_args": {"root": "/data", "noise": 0.5}}
        >>> describe_data(spec, ["root"])
        {'class_path': 'mine.Data', 'init_args': {'noise': 0.5}}
    """
    arguments = (spec.get("init_args") or {}).items()
    kept = {k: v for k, v in arguments if k not in loading and v is not None}
    described: dict[str, Any] = redact({**spec, "init_args": kept})
    return described


def weight_files(spec: Any, name: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """Find the checkpoints that a configuration's parts are read from.

    Yields:
        Name of the part, such as ``teachers.audio``, with ``file`` and ``sha256``.
    """
    if isinstance(spec, list):
        spec = {str(i): part for i, part in enumerate(spec)}
    if not isinstance(spec, dict):
        return
    checkpoint = (spec.get("init_args") or {}).get("checkpoint")
    if isinstance(checkpoint, str) and Path(checkpoint).is_file():
        yield name, {"file": redact(checkpoint), "sha256": sha256(Path(checkpoint))}
    for key, part in spec.items():
        inner = name if key == "init_args" else f"{name}.{key}".lstrip(".")
        yield from weight_files(part, inner)


def _git(folder: Path, *arguments: str) -> str:
    if shutil.which("git") is None:
        return ""
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
