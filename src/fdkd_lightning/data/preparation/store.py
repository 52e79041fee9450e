"""Arrays that were made once, kept in one file."""

import os
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


def require_folder(folder: Path) -> None:
    """Make a folder and see that it can be written, before work is spent on its contents.

    Raises:
        OSError: If it cannot; of the kind that the system gave.
    """
    probe = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise type(error)(
            f"root: cannot write to {folder} ({error.strerror}). Give root another folder, or "
            "one in which the data lies already"
        ) from error


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is there in whole or not at all: it gets its name when the block is left.

    Several processes may write the same file: the last one's stays. A process that is killed
    leaves a file ``.<name>.<random>.tmp`` behind.

    Args:
        path: The file, in a folder that exists.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a file that is there in whole or not at all; equal arrays give equal bytes.

    Args:
        path: The file, in a folder that exists.
        arrays: Name -> array.
    """
    with whole_file(path) as file:
        # NumPy dates all members 1980, so that no clock gets into the bytes.
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_arrays(path: Path, names: Iterable[str]) -> Arrays:
    """Read some of a file's arrays, and no other.

    A damaged file is reported, not made anew: as it was written in whole, the disk is suspect.

    Args:
        path: The file.
        names: The arrays to read.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} is not there: call prepare_data() first, or give the root that holds it"
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        raise RuntimeError(
            f"{path} is damaged ({error}): delete it, and prepare_data() makes it anew"
        ) from error
