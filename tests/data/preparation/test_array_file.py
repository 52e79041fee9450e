import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fdkd_lightning.data.preparation.array_file import read_array

Status = Callable[[Callable[[], object]], str]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(12, dtype="f4").reshape(3, 4)),
        np.arange(4, dtype=">i2"),
        np.zeros((0, 3), np.uint8),
        np.arange(12.0).reshape(3, 4)[::2, 1:],
        np.float32(3) * np.ones(()),
    ],
)
def test_a_pickle_of_an_array_is_read(tmp_path: Path, array: np.ndarray, protocol: int) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(np.asarray(array), protocol))
    found = read_array(path)
    assert found.dtype.newbyteorder("=") == np.asarray(array).dtype.newbyteorder("=")
    assert np.array_equal(found, array)


def test_an_old_name_of_a_module_is_read(tmp_path: Path) -> None:
    content = pickle.dumps(np.arange(3.0), 2)
    (tmp_path / "a.pkl").write_bytes(content.replace(b"numpy._core", b"numpy.core"))
    assert read_array(tmp_path / "a.pkl").tolist() == [0, 1, 2]


class Attack:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch attacked",)


def test_nothing_else_is_read_from_a_pickle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pkl"
    for content in (
        pickle.dumps(Attack()),
        pickle.dumps([np.zeros(2), Attack()]),
        pickle.dumps(np.array([Attack()], object)),
        pickle.dumps({"a": 1}),
        pickle.dumps([1.0, 2.0]),
        pickle.dumps(np.array(["a"])),
        pickle.dumps(np.array([1j])),
        pickle.dumps(np.zeros(2, [("a", "f4")])),
        b"cnumpy\nndarray\n(I1000000000000\ntR.",  # would allocate 8 TB
        b"cnumpy\ndtype\n(S'f4'\ntR.",
        b"cbuiltins\nbytes\n(I1000000000000\ntR.",
    ):
        path.write_bytes(content)
        assert status(lambda: read_array(path)) == "undecodable"
    assert os.listdir(tmp_path) == ["a.pkl"]
    path.write_bytes(pickle.dumps(np.zeros(100))[:300])
    assert status(lambda: read_array(path)) == "truncated"
    path.write_bytes(b"")
    assert status(lambda: read_array(path)) == "empty"


def test_npy_files(tmp_path: Path, status: Status) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(6, dtype="f4").reshape(2, 3))
    assert np.array_equal(read_array(path), [[0, 1, 2], [3, 4, 5]])
    path.write_bytes(path.read_bytes()[:-4])
    assert status(lambda: read_array(path)) == "truncated"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"(2, 3)", b"(9**99,)")[: len(content)])
    assert status(lambda: read_array(path)) == "undecodable"
    np.save(path, np.array([Attack()], object), allow_pickle=True)
    assert status(lambda: read_array(path)) == "undecodable"
    path.write_bytes(b"\x93NUMPY")
    assert status(lambda: read_array(path)) in ("truncated", "undecodable")
