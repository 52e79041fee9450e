"""Read arrays from NPY files, and from pickles without running anything that they name."""

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdkd_lightning.data.preparation.media_error import MediaError, check_file

LARGEST = 2**28
"""Largest file to read, bytes: 100 times a spectrogram or depth map."""


def read_array(path: Path) -> NDArray[Any]:
    """Read an array of real numbers from an ``.npy`` file or a pickle.

    A pickle may hold nothing but one array, and is read without calling what it names.

    Raises:
        MediaError: If the file is missing, too large, damaged, or holds something else.
    """
    check_file(path)
    size = path.stat().st_size
    if size > LARGEST:
        raise MediaError("undecodable", f"{size:,} bytes are more than an array of a sample has")
    try:
        if path.suffix == ".npy":
            # Mapped: a header that declares more than the file holds takes no memory.
            array = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
        else:
            with path.open("rb") as file:
                stored = _Unpickler(file).load()
            array = stored.array() if isinstance(stored, _Array) else stored
    except MediaError:
        raise
    except Exception as error:  # damaged files raise errors of many classes
        cut = isinstance(error, EOFError) or re.search("truncated|ran out|greater than", str(error))
        raise MediaError("truncated" if cut else "undecodable", f"no array: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise MediaError("undecodable", f"{found} is no array of real numbers")
    return array


class _Dtype:
    """Stand-in for the dtype that a pickle describes."""

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch("[iuf][1248]", str(code)):
            raise MediaError("undecodable", f"dtype {str(code)[:20]!r} is no real number")
        self.code = str(code)
        self.order = "="

    def __setstate__(self, state: Sequence[Any]) -> None:
        self.order = {"<": "<", ">": ">"}.get(state[1], "=")


class _Array:
    """Stand-in for the array that a pickle describes."""

    def __init__(self, *_: object) -> None:
        self.content: Any = b""
        self.shape: Any = ()
        self.dtype: Any = None
        self.fortran = False

    def __setstate__(self, state: Sequence[Any]) -> None:
        _, self.shape, self.dtype, self.fortran, self.content = state

    def array(self) -> NDArray[Any]:
        if not isinstance(self.dtype, _Dtype):
            raise MediaError("undecodable", "the pickle holds no array")
        values = np.frombuffer(self.content, self.dtype.order + self.dtype.code)
        return values.reshape(self.shape, order="F" if self.fortran else "C").copy()


def _from_buffer(content: Any, dtype: Any, shape: Any, order: str = "C") -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", content))
    return array


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    # Bytes, in the protocols before 3.
    ("_codecs", "encode"): lambda text, _: str(text).encode("latin-1"),
    ("__builtin__", "bytes"): lambda: b"",
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # NumPy 2 renamed its private modules.
        found = _STAND_INS.get((module.replace("numpy._core.", "numpy.core."), name))
        if found is None:
            raise MediaError("undecodable", f"the pickle names {module}.{name}, which is no array")
        return found
