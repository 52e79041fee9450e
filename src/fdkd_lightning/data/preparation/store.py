"""Write files atomically, and store arrays in one file."""

import errno
import os
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdkd_lightning.files.atomic_write import atomic_write

Arrays = dict[str, NDArray[Any]]


def require_folder(folder: Path, argument: str = "root", write: bool = True) -> None:
    """Create a folder and check that it is writable, before its contents are computed.

    Args:
        folder: The folder; parents are created too.
        argument: Name of the argument that names the folder, for the error.
        write: Create the folder; else only check whether it could be.

    Raises:
        OSError: If the folder cannot be written; of the class that the system raised.
    """
    probe = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        if write:
            folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        else:
            existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
            if not existing.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if not os.access(existing, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise type(error)(
            f"{argument}: cannot write to {folder} ({error.strerror}). Set {argument} "
            f"(--{argument}, --data.{argument}) to another folder, or to one that already "
            "holds the data"
        ) from error


whole_file = partial(atomic_write, is_one_of_many=True)
"""Open one of many files for atomic writing."""


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to one file, atomically; equal arrays give equal bytes.

    Raises:
        TypeError: If an array holds Python objects, which would be pickled.
    """
    # NumPy below 2.2 takes allow_pickle=False for the name of an array.
    for name, values in arrays.items():
        if values.dtype.hasobject:
            raise TypeError(f"array {name!r} is of dtype {values.dtype}: give numbers or strings")
    with whole_file(path) as file:
        # NumPy dates all members 1980: the bytes do not depend on the time.
        members: dict[str, Any] = {**arrays}
        np.savez_compressed(file, **members)


def read_arrays(path: Path, names: Iterable[str]) -> Arrays:
    """Read some of the arrays of a file.

    A damaged file is an error and is not rebuilt: it was written atomically, so the disk is
    suspect.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} does not exist: call prepare_data() first, or set root to the folder with it"
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        raise RuntimeError(
            f"{path} is damaged ({error}): delete it, and call prepare_data() to rebuild it"
        ) from error
