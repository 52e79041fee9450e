"""Reading of seglearn's recordings of a wrist watch, without running pickled code."""

import io
import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fdkd_lightning.ops.optional import install_command

NAME = "watch_dataset.npy"
CHANNELS = 6
"""Accelerometer x, y, z; gyroscope x, y, z."""

ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
"""The only names that unpickling may import: those in the published file, under NumPy 1 and 2."""


class Recording(NamedTuple):
    """One recording.

    Args:
        signal: Acceleration in g and angular velocity in rad/s, 50 times a second.
        label: Number of the exercise.
        subject: Number of the person.

    Shape:
        - signal: [T, 6]
    """

    signal: NDArray[np.float32]
    label: int
    subject: int


def watch_path(root: Path | None) -> Path:
    """Return the path of the recordings: in a folder, or in the installed package seglearn.

    Args:
        root: The folder; None: the package.

    Raises:
        FileNotFoundError: If the folder has no such file.
        ImportError: If the package is not installed.

    Example:
        >>> watch_path(Path("absent"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        FileNotFoundError: root='absent' holds no watch_dataset.npy: leave root out to read ...
    """
    if root is not None:
        if not (root / NAME).is_file():
            raise FileNotFoundError(
                f"root={str(root)!r} holds no {NAME}: leave root out to read that of the installed "
                "package seglearn"
            )
        return root / NAME
    # Found, not imported: that would import pandas and scikit-learn.
    spec = find_spec("seglearn")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"Watch needs the package seglearn: {install_command('demo')}")
    return Path(spec.submodule_search_locations[0]) / "data" / NAME


def read_recordings(path: Path) -> list[Recording]:
    """Read the recordings, by an unpickler that knows harmless names alone.

    Args:
        path: The file, a pickled dict in a NumPy array of objects.

    Raises:
        RuntimeError: If the file is damaged, or asks for any other name; nothing is run.

    Example:
        >>> read_recordings(Path("absent.npy"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        FileNotFoundError: ...
    """
    with path.open("rb") as file:
        content = _unpickle(path, file)
    try:
        if len({len(content[key]) for key in ("X", "y", "subject")}) != 1:
            raise ValueError("X, y and subject have different lengths")
        found = [
            Recording(np.asarray(x, np.float32), int(y), int(subject))
            for x, y, subject in zip(content["X"], content["y"], content["subject"], strict=True)
        ]
        for recording in found:
            if recording.signal.ndim != 2 or recording.signal.shape[1] != CHANNELS:
                raise ValueError(f"a recording has shape {recording.signal.shape}, not [T, 6]")
    except (LookupError, TypeError, ValueError) as error:
        raise RuntimeError(f"{path} is not seglearn's {NAME}: {error}") from error
    return found


def _unpickle(path: Path, file: io.BufferedReader) -> Any:
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"version {version} of the format, not (1, 0)")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if shape != () or dtype.kind != "O":
            raise ValueError(f"an array of shape {shape} and dtype {dtype}, not one object")
        return _Unpickler(file).load().item()
    except _ForbiddenError as error:
        raise RuntimeError(
            f"{path} asks for {error}, which seglearn's file does not: it was tampered with; "
            "install seglearn again"
        ) from None
    except Exception as error:  # a damaged pickle may raise anything
        raise RuntimeError(f"{path} is damaged, install seglearn again: {error}") from error


class _ForbiddenError(Exception):
    """A name that the file must not ask for."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise _ForbiddenError(f"{module}.{name}")
        if name == "_reconstruct":
            # Whatever the module is called in the installed NumPy.
            return np.ndarray.__reduce__(np.empty(0))[0]
        return super().find_class(module, name)
