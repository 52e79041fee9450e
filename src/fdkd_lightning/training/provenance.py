"""Where results come from: versions, commit, data and weight files; without absolute paths."""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

PACKAGES = ("fdkd_lightning", "torch", "lightning", "torchmetrics", "timm", "torchaudio")


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on.

    Example:
        >>> [*package_versions()][:3]
        ['python', 'fdkd_lightning', 'torch']
    """
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **versions}


def git_commit(folder: Path) -> str | None:
    """Return the commit that a folder is at, with ``-dirty`` if tracked files were changed.

    Returns:
        None if the folder is not in a git checkout, or git is not installed.
    """
    if shutil.which("git") is None:
        return None
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return None
    return f"{commit}-dirty" if _git(folder, "status", "--porcelain", "-uno") else commit


def without_folders(value: Any) -> Any:
    """Cut absolute paths to their last part, so that no user or host name is published.

    Args:
        value: Plain values: texts, numbers, lists and mappings.

    Example:
        >>> without_folders({"root": "/home/me/data", "table": "lists/a.csv", "sep": "/"})
        {'root': 'data', 'table': 'lists/a.csv', 'sep': '/'}
    """
    if isinstance(value, Mapping):
        return {key: without_folders(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(entry) for entry in value]
    return _cut(value) if isinstance(value, str) else value


def command_without_folders(argument: str) -> str:
    """Cut the absolute paths in an argument of a command line.

    Example:
        >>> command_without_folders("--data.root=/home/me/data")
        '--data.root=data'
        >>> command_without_folders('--trainer.logger={"save_dir": "/home/me/logs"}')
        '--trainer.logger={"save_dir": "logs"}'
    """
    key, equals, value = argument.partition("=")
    if not equals:
        key, value = "", argument
    if value.startswith(("[", "{")):
        try:
            return f"{key}{equals}{json.dumps(without_folders(yaml.safe_load(value)))}"
        except yaml.YAMLError:
            pass  # a text that only looks like a list or mapping
    return f"{key}{equals}{_cut(value)}"


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
    described: dict[str, Any] = without_folders({**spec, "init_args": kept})
    return described


def weight_files(spec: Any, name: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """Find the checkpoints that a configuration's parts are read from.

    Args:
        spec: Class path and arguments of a model.
        name: Its name within a larger model.

    Yields:
        Name of the part, such as ``teachers.audio``, with ``file`` and ``sha256``.
    """
    if isinstance(spec, list):
        spec = {str(i): part for i, part in enumerate(spec)}
    if not isinstance(spec, dict):
        return
    checkpoint = (spec.get("init_args") or {}).get("checkpoint")
    if isinstance(checkpoint, str) and Path(checkpoint).is_file():
        yield name, {"file": without_folders(checkpoint), "sha256": sha256(Path(checkpoint))}
    for key, part in spec.items():
        inner = name if key == "init_args" else f"{name}.{key}".lstrip(".")
        yield from weight_files(part, inner)


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _cut(text: str) -> str:
    for path in (PurePosixPath(text), PureWindowsPath(text)):
        if path.is_absolute() or text.startswith("~"):
            return path.name or text
    home = os.path.expanduser("~")  # unlike Path.home, defined for a user without an entry
    return text if len(home) < 2 else text.replace(home, "~")
