import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from fdkd_lightning.data.preparation.store import (
    read_arrays,
    require_folder,
    whole_file,
    write_arrays,
)

ARRAYS = {"a": np.arange(1000), "b": np.random.default_rng(0).random(500)}


def test_arrays_come_back(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.npz", ARRAYS)
    stored = read_arrays(tmp_path / "x.npz", ["b"])
    assert list(stored) == ["b"]
    np.testing.assert_array_equal(stored["b"], ARRAYS["b"])


def test_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    write_arrays(tmp_path / "x.npz", ARRAYS)
    write_arrays(tmp_path / "y.npz", ARRAYS)
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()


def test_an_interrupted_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(file, **arrays):
        file.write(b"PK")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_arrays(tmp_path / "x.npz", ARRAYS)
    assert not list(tmp_path.iterdir())


def killed_write(folder: Path) -> None:
    def killed(file, **arrays):
        file.write(b"PK")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    np.savez_compressed = killed
    write_arrays(folder / "x.npz", ARRAYS)


def test_a_killed_write_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=killed_write, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "x.npz").exists()
    write_arrays(tmp_path / "x.npz", ARRAYS)
    assert len(read_arrays(tmp_path / "x.npz", ["a"])["a"]) == 1000


def test_a_whole_file_has_its_name_only_when_the_block_is_left(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"

    def interrupted() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "other", "lacking"])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.npz"
    write_arrays(path, ARRAYS)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 3] ^= 0xFF
    elif damage == "empty":
        content = bytearray()
    elif damage == "other":
        content = bytearray(b"not an archive" * 10)
    path.write_bytes(content)
    names = ["c"] if damage == "lacking" else ["a", "b"]
    with pytest.raises(RuntimeError, match=r"x\.npz is damaged .*delete it"):
        read_arrays(path, names)


def test_a_missing_file_asks_for_prepare_data(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"x\.npz does not exist: call prepare_data"):
        read_arrays(tmp_path / "x.npz", ["a"])


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    require_folder(tmp_path / "a" / "b")
    assert not list((tmp_path / "a" / "b").iterdir())


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"root: cannot write to .*file/below .*another folder"):
        require_folder(tmp_path / "file" / "below")
    with pytest.raises(OSError, match=r"prepared: cannot .*Set prepared \(--prepared"):
        require_folder(tmp_path / "file" / "below", "prepared", write=False)
    require_folder(tmp_path / "new" / "below", "prepared", write=False)
    assert not (tmp_path / "new").exists()


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="'a' is of dtype object"):
        write_arrays(tmp_path / "x.npz", {"a": np.array([{}])})
    assert not [*tmp_path.iterdir()]
