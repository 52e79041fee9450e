"""Read MATLAB files of version 7.3 (HDF5), and numbers from earlier versions."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from fdkd_lightning.data.preparation.media_error import MediaError, check_file
from fdkd_lightning.ops.optional import require

MOST_BYTES = 256 * 2**20
"""Largest size of an array to read: compressed files may declare any."""


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
        _check_bytes(name, array.dtype.itemsize * math.prod(array.shape[1:]))
        # MATLAB files store the last axis first.
        values: NDArray[Any] = array[int(number)].T
        return values


def read_shape(path: Path, name: str) -> tuple[int, ...]:
    """Return the shape of an array as stored, samples first."""
    with _opened(path, named=True) as file:
        return tuple(_array(file, name).shape)


def read_texts(path: Path, name: str) -> list[str]:
    """Read a cell array of strings."""
    with _opened(path, named=True) as file:
        cells = _whole(name, _array(file, name)).ravel()
        return ["".join(map(chr, _whole(name, _cell(file, name, cell)).ravel())) for cell in cells]


def read_numbers(path: Path, names: tuple[str, ...]) -> dict[str, list[int]]:
    """Read arrays of integers from a MATLAB file of any version, flattened."""
    with _naming(path):
        check_file(path)
    if _h5py().is_hdf5(path):
        with _opened(path, named=True) as file:
            found = {name: _whole(name, _array(file, name)) for name in names}
    else:
        try:
            found = loadmat(path, variable_names=names)
        except Exception as error:
            # Damaged files end in errors of any class.
            raise MediaError("undecodable", f"{path}: not a MATLAB file ({error})") from error
    return {name: _integers(path, name, found) for name in names}


def _integers(path: Path, name: str, found: Any) -> list[int]:
    if name not in found:
        raise MediaError("undecodable", f"{path}: the file has no array {name!r}")
    values = np.ravel(found[name])
    if not np.issubdtype(values.dtype, np.number) or (values != np.round(values)).any():
        raise MediaError("undecodable", f"{path}: {name!r} holds other values than integers")
    return [int(value) for value in values.tolist()]


def _h5py() -> Any:
    return require("h5py", extra="hdf5", purpose="reading MATLAB's files")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in the reason, for lists, which are no sample of a manifest."""
    try:
        yield
    except MediaError as error:
        raise MediaError(error.status, f"{path}: {error.reason}") from error


@contextmanager
def _opened(path: Path, named: bool = False) -> Iterator[Any]:
    with _naming(path) if named else nullcontext():
        check_file(path)
        h5py = _h5py()
        try:
            with h5py.File(path, "r") as file:
                yield file
        except MediaError:
            raise
        except Exception as error:
            # HDF5 has no error class for truncated files, and damaged ones end in any.
            truncated = "truncated" in str(error).lower()
            status = "truncated" if truncated else "undecodable"
            raise MediaError(status, f"{error}" or type(error).__name__) from error


def _array(file: Any, name: str) -> Any:
    """Return an array of the file, without following a link out of it."""
    h5py = _h5py()
    place = file
    for step in name.split("/"):
        # Asking whether a name exists would follow an external link.
        link = place.get(step, getlink=True) if isinstance(place, h5py.Group) else None
        if link is None:
            names = ", ".join(file)
            raise MediaError("undecodable", f"the file has no array {name!r}, only {names}")
        if not isinstance(link, h5py.HardLink):
            return _stored_here(name, None)
        place = place[step]
    return _stored_here(name, place)


def _cell(file: Any, name: str, reference: Any) -> Any:
    """Return the array to which a cell refers."""
    if not isinstance(reference, _h5py().Reference):
        raise MediaError("undecodable", f"{name!r} is not a cell array")
    return _stored_here(name, file[reference] if reference else None)


def _stored_here(name: str, array: Any) -> Any:
    # HDF5 can store an array, or a part of it, in another file anywhere on the system.
    if not isinstance(array, _h5py().Dataset) or array.external or array.is_virtual:
        raise MediaError("undecodable", f"{name!r} is not an array stored in this file")
    return array


def _whole(name: str, array: Any) -> Any:
    _check_bytes(name, array.dtype.itemsize * array.size)
    return array[()]


def _check_bytes(name: str, size: int) -> None:
    if size > MOST_BYTES:
        raise MediaError(
            "too-large", f"{name!r} takes {size:,} bytes: the limit is {MOST_BYTES:,} bytes"
        )
