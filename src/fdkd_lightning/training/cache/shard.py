"""One file of a teacher cache: rows in a safetensors file, read at random through the page cache.

Safetensors and not Arrow or zarr: a tensor is one contiguous block of the file, so that a row is
``offset + row * bytes``, mapped without a copy; the format is public, needs no further package and
runs no code. Arrow has no fp16 arithmetic-free map of [N, C, H, W] and reads record batches; zarr
reads (and decompresses) a whole chunk for a row.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from fdkd_lightning.files.atomic_write import atomic_write

DTYPES = {
    "F16": np.float16,
    "F32": np.float32,
    "I32": np.int32,
    "I64": np.int64,
    "U32": np.uint32,
    "U8": np.uint8,
}
"""Types of safetensors that a shard may hold."""

INDEX, KEYS, PRESENT, CRC = "index", "keys", "present", "crc"
COLUMNS = (INDEX, KEYS, PRESENT, CRC)
"""Tensors about the rows; all others are the teacher's outputs."""

LARGEST_HEADER = 2**20
Arrays = dict[str, NDArray[Any]]


class DamagedCacheError(RuntimeError):
    """A file of a teacher cache is not what was written."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            f"{path} is damaged ({what}): delete this file and cache.json beside it, and run fdkd "
            "cache again, which makes the missing rows"
        )


def row_sums(outputs: Mapping[str, NDArray[Any]]) -> NDArray[np.uint32]:
    """Return the CRC-32 of each row, over all outputs in the order of their names.

    Shape:
        - outputs[name]: [N, ...]
        - output: [N]

    Example:
        >>> rows = {"features": np.zeros((2, 3), np.float16)}
        >>> len(set(row_sums(rows).tolist()))
        1
    """
    arrays = [np.ascontiguousarray(outputs[name]) for name in sorted(outputs)]
    sums = np.zeros(len(arrays[0]), np.uint32)
    for i in range(len(sums)):
        total = 0
        for array in arrays:
            total = zlib.crc32(array[i].data, total)
        sums[i] = total
    return sums


def write_shard(
    path: Path,
    outputs: Mapping[str, NDArray[Any]],
    index: NDArray[np.int64],
    keys: NDArray[np.int64],
    present: NDArray[np.uint8],
    identity: Mapping[str, Any],
) -> None:
    """Write a shard, whole or not at all; equal rows give equal bytes.

    Args:
        path: The file.
        outputs: Name -> rows of a teacher's output.
        index: Ids of the samples.
        keys: Hashes of the samples' names and sources.
        present: Whether the sample has the teacher's modality.
        identity: To which cache the shard belongs; :attr:`Shard.identity` returns it.

    Shape:
        - outputs[name]: [N, ...]
        - index, present: [N]
        - keys: [N, 2]
    """
    columns = {INDEX: index, KEYS: keys, PRESENT: present, CRC: row_sums(outputs)}
    tensors = {name: np.ascontiguousarray(x) for name, x in {**outputs, **columns}.items()}
    # One entry: safetensors writes several in random order.
    metadata = {"cache": json.dumps(identity, sort_keys=True)}
    content = save(tensors, metadata)
    with atomic_write(path, is_one_of_many=True) as file:
        file.write(content)


class Shard:
    """A file of rows, which is mapped into memory when a row is read first.

    Each row is compared with its check sum when it is read first.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        DamagedCacheError: If the file is not a shard, or cut off; on reading, if a row has changed.

    Example:
        >>> import tempfile
        >>> path, one = Path(tempfile.mkdtemp()) / "shard.safetensors", np.ones(1, np.int64)
        >>> rows = {"features": np.ones((1, 3), np.float16)}
        >>> write_shard(path, rows, one, one[:, None], one.astype(np.uint8), {"part": 0})
        >>> shard = Shard(path)
        >>> shard.identity, shard.read(np.array([0]))["features"].tolist()
        ({'part': 0}, [[1.0, 1.0, 1.0]])
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                size = int.from_bytes(file.read(8), "little")
                if size > LARGEST_HEADER:
                    raise ValueError("its header")
                self.head = file.read(size)
            header = json.loads(self.head)
            self.identity = json.loads(header.pop("__metadata__")["cache"])
            self._tensors = {
                name: (DTYPES[x["dtype"]], tuple(x["shape"]), 8 + size + x["data_offsets"][0])
                for name, x in header.items()
            }
            end = 8 + size + max(x["data_offsets"][1] for x in header.values())
            self.rows: int = self._tensors[INDEX][1][0]
            self._check_tensors(8 + size, end)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise DamagedCacheError(path, "its header cannot be read") from error
        if path.stat().st_size != end:
            raise DamagedCacheError(path, f"{path.stat().st_size:,} bytes instead of {end:,}")
        self.outputs = tuple(sorted(self._tensors.keys() - set(COLUMNS)))
        self._mapped: Arrays | None = None
        self._seen: NDArray[np.bool_] = np.zeros(self.rows, bool)

    def __getstate__(self) -> dict[str, Any]:
        # A copied or pickled map would be an array in memory.
        return {**self.__dict__, "_mapped": None}

    def head_sum(self) -> int:
        """Return the CRC-32 of the header and the columns, without those of the outputs."""
        total = zlib.crc32(self.head)
        for name in COLUMNS:
            total = zlib.crc32(np.ascontiguousarray(self.column(name)).data, total)
        return total

    def column(self, name: str) -> NDArray[Any]:
        """Return a tensor about the rows, read into memory."""
        dtype, shape, offset = self._tensors[name]
        return np.fromfile(self.path, dtype, int(np.prod(shape)), offset=offset).reshape(shape)

    def row_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a row of an output."""
        shape: tuple[int, ...] = self._tensors[name][1][1:]
        return shape

    def row_dtype(self, name: str) -> str:
        """Return the dtype of an output in the file."""
        return np.dtype(self._tensors[name][0]).name

    def read(self, rows: NDArray[np.int64]) -> Arrays:
        """Return the outputs of rows.

        Shape:
            - rows: [N]
            - output[name]: [N, ...]
        """
        if self._mapped is None:
            self._mapped = self._map()
        found = {name: self._mapped[name][rows] for name in self.outputs}
        new = ~self._seen[rows]
        if new.any():
            sums = row_sums({name: x[new] for name, x in found.items()})
            wrong = rows[new][sums != self._mapped[CRC][rows[new]]]
            if len(wrong):
                index = int(self._mapped[INDEX][wrong[0]])
                raise DamagedCacheError(self.path, f"row {int(wrong[0])}, sample {index}")
            self._seen[rows] = True
        return found

    def _check_tensors(self, start: int, end: int) -> None:
        """Raise unless all tensors have the rows, and lie in the file one after the other."""
        if not {*COLUMNS} < self._tensors.keys():
            raise ValueError("columns")
        for dtype, shape, offset in sorted(self._tensors.values(), key=lambda x: x[2]):
            if shape[0] != self.rows or offset != start:
                raise ValueError("shapes or offsets")
            start += int(np.prod(shape)) * np.dtype(dtype).itemsize
        if start != end:
            raise ValueError("sizes")

    def _map(self) -> Arrays:
        content = np.memmap(self.path, np.uint8, "r")
        return {
            name: content[offset : offset + int(np.prod(shape)) * np.dtype(dtype).itemsize]
            .view(dtype)
            .reshape(shape)
            for name, (dtype, shape, offset) in self._tensors.items()
        }
