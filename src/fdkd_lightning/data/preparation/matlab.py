"""MATLAB's files: version 7.3, which is HDF5, and what came before."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from fdkd_lightning.data.preparation.media import MediaError, check_file
from fdkd_lightning.ops.optional import require


def read_member(path: Path, member: str) -> NDArray[Any]:
    """One sample of an array of many, with its axes in the order that MATLAB shows.

    Only that sample is read, and the file is closed again.

    Args:
        path: A file of version 7.3.
        member: Name of the array and number of the sample, from 0: ``images/12``.

    Raises:
        MediaError: If the file is not there or is none, or has no such array or sample.
    """
    name, _, number = member.rpartition("/")
    with _opened(path) as file:
        array = _array(file, name)
        if not number.isdigit() or int(number) >= len(array):
            raise MediaError("undecodable", f"{name} has {len(array)} samples, and no {number!r}")
        # MATLAB's files have the last axis first.
        values: NDArray[Any] = array[int(number)].T
        return values


def read_shape(path: Path, name: str) -> tuple[int, ...]:
    """Shape of an array as it is stored, samples first.

    Raises:
        MediaError: If the file is not there or is none, or has no such array.
    """
    with _opened(path) as file:
        return tuple(_array(file, name).shape)


def read_texts(path: Path, name: str) -> list[str]:
    """The texts of a cell array.

    Raises:
        MediaError: If the file is not there or is none, or has no such array.
    """
    with _opened(path) as file:
        cells = _array(file, name)[()].ravel()
        return ["".join(map(chr, file[cell][()].ravel())) for cell in cells]


def read_numbers(path: Path, names: tuple[str, ...]) -> dict[str, list[int]]:
    """Whole numbers from a file of any version.

    Raises:
        MediaError: If the file is not there or is none, or lacks one of the arrays.
    """
    check_file(path)
    if _h5py().is_hdf5(path):
        with _opened(path) as file:
            found = {name: _array(file, name)[()] for name in names}
    else:
        try:
            found = loadmat(path, variable_names=names)
        except (ValueError, TypeError, OSError, NotImplementedError) as error:
            raise MediaError("undecodable", f"no MATLAB file ({error})") from error
    for name in names:
        if name not in found:
            raise MediaError("undecodable", f"there is no {name!r} in it")
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
        # HDF5 has no class of its own for this.
        truncated = "truncated" in str(error).lower()
        raise MediaError("truncated" if truncated else "undecodable", str(error)) from error


def _array(file: Any, name: str) -> Any:
    if name not in file:
        raise MediaError("undecodable", f"there is no {name!r} in it, only {', '.join(file)}")
    h5py = _h5py()
    link = file.get(name, getlink=True)
    array = file[name] if isinstance(link, h5py.HardLink) else None
    # HDF5 can keep an array, or a part of it, in another file, which would be read anywhere.
    if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
        raise MediaError("undecodable", f"{name!r} is no array of the file's own")
    return array
