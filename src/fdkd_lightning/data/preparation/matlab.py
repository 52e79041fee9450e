"""Read MATLAB files of version 7.3 (HDF5), and numbers from earlier versions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from fdkd_lightning.data.preparation.media_error import MediaError, check_file
from fdkd_lightning.ops.optional import require


def read_member(path: Path, member: str) -> NDArray[Any]:
    """Read one sample of an array, with its axes in the order of MATLAB.

    Only this sample is read, and the file is closed again.

    Args:
        path: MATLAB file of version 7.3.
        member: Name of the array and index of the sample, from 0, such as ``images/12``.

    Raises:
        MediaError: If the file is missing or cannot be read, or has no such array or sample.
    """
    name, _, number = member.rpartition("/")
    with _opened(path) as file:
        array = _array(file, name)
        if not number.isdigit() or int(number) >= len(array):
            raise MediaError("undecodable", f"{name} has {len(array)} samples, but not {number!r}")
        # MATLAB files store the last axis first.
        values: NDArray[Any] = array[int(number)].T
        return values


def read_shape(path: Path, name: str) -> tuple[int, ...]:
    """Return the shape of an array as stored, samples first.

    Args:
        path: MATLAB file of version 7.3.
        name: Name of the array.

    Raises:
        MediaError: If the file is missing or cannot be read, or has no such array.
    """
    with _opened(path) as file:
        return tuple(_array(file, name).shape)


def read_texts(path: Path, name: str) -> list[str]:
    """Read a cell array of strings.

    Args:
        path: MATLAB file of version 7.3.
        name: Name of the cell array.

    Raises:
        MediaError: If the file is missing or cannot be read, or has no such array.
    """
    with _opened(path) as file:
        cells = _array(file, name)[()].ravel()
        return ["".join(map(chr, file[cell][()].ravel())) for cell in cells]


def read_numbers(path: Path, names: tuple[str, ...]) -> dict[str, list[int]]:
    """Read arrays of integers from a MATLAB file of any version, flattened.

    Args:
        path: MATLAB file.
        names: Names of the arrays.

    Raises:
        MediaError: If the file is missing or cannot be read, or has no such array.
    """
    check_file(path)
    if _h5py().is_hdf5(path):
        with _opened(path) as file:
            found = {name: _array(file, name)[()] for name in names}
    else:
        try:
            found = loadmat(path, variable_names=names)
        except (ValueError, TypeError, OSError, NotImplementedError) as error:
            raise MediaError("undecodable", f"not a MATLAB file ({error})") from error
    for name in names:
        if name not in found:
            raise MediaError("undecodable", f"the file has no array {name!r}")
    return {name: np.ravel(found[name]).astype(int).tolist() for name in names}


def _h5py() -> Any:
    return require("h5py", extra="hdf5", purpose="reading MATLAB's files")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    check_file(path)
    h5py = _h5py()
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        # HDF5 has no error class for truncated files.
        truncated = "truncated" in str(error).lower()
        raise MediaError("truncated" if truncated else "undecodable", str(error)) from error


def _array(file: Any, name: str) -> Any:
    if name not in file:
        raise MediaError("undecodable", f"the file has no array {name!r}, only {', '.join(file)}")
    h5py = _h5py()
    link = file.get(name, getlink=True)
    array = file[name] if isinstance(link, h5py.HardLink) else None
    # HDF5 can store an array, or a part of it, in another file anywhere on the system.
    if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
        raise MediaError("undecodable", f"{name!r} is not an array stored in this file")
    return array
