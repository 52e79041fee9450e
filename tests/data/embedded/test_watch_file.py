import importlib.util
import io
import os
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdkd_lightning.data.embedded.watch_file import NAME, read_recordings, watch_path

HAS_PACKAGE = importlib.util.find_spec("seglearn") is not None
needs_package = pytest.mark.skipif(not HAS_PACKAGE, reason="needs seglearn, of the extra demo")


def write(path: Path, content: Any) -> Path:
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    return path


def content(**changes: Any) -> dict[str, Any]:
    signals = [np.arange(12.0).reshape(2, 6), np.ones((3, 6))]
    return {"X": signals, "y": np.array([4, 0]), "subject": np.array([1, 2])} | changes


def test_recordings_are_read_in_order(tmp_path: Path) -> None:
    first, second = read_recordings(write(tmp_path / NAME, content()))
    assert (first.label, first.subject) == (4, 1)
    assert first.signal.dtype == np.float32
    assert first.signal.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert second.signal.shape == (3, 6)


class Malicious:
    """Unpickled elsewhere, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("is_deep", [False, True])
def test_a_file_that_was_tampered_with_runs_nothing(tmp_path: Path, is_deep: bool) -> None:
    bad = Malicious(tmp_path / "made")
    path = write(tmp_path / NAME, content(X=[bad, bad]) if is_deep else {"X": bad})
    with pytest.raises(RuntimeError, match=r"asks for posix\.mkdir.*tampered with") as error:
        read_recordings(path)
    assert NAME in str(error.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": np.array([1])}, "different lengths"),
        ({"X": [np.ones((2, 6)), np.ones((2, 5))]}, r"shape \(2, 5\), not \[T, 6\]"),
        ({"subject": ["a", "b"]}, "invalid literal"),
    ],
)
def test_another_content_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        read_recordings(write(tmp_path / NAME, content(**changes)))


def test_damage_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / NAME, content())
    whole = path.read_bytes()
    numbers = io.BytesIO()
    np.save(numbers, np.zeros(3))
    header = whole[: whole.index(b"\n") + 1]
    for damaged in (b"", whole[:40], whole[:-20], numbers.getvalue(), header + pickle.dumps(3)):
        path.write_bytes(damaged)
        with pytest.raises(RuntimeError, match=f"{NAME}.*(damaged|is not seglearn's)"):
            read_recordings(path)
    path.write_bytes(b"\x93NUMPY\x03\x00" + struct.pack("<I", 3) + b"abc")
    with pytest.raises(RuntimeError, match="damaged"):
        read_recordings(path)


def test_a_folder_without_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"holds no {NAME}: leave root out"):
        watch_path(tmp_path)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fdkd_lightning.data.embedded.watch_file.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'seglearn: pip install "fdkd_lightning\[demo\]"'):
        watch_path(None)


@needs_package
def test_the_published_file_is_read_as_numpy_reads_it(tmp_path: Path) -> None:
    path = watch_path(None)
    expected = np.load(path, allow_pickle=True).item()  # of the installed package itself
    found = read_recordings(path)
    assert len(found) == 140
    assert [recording.label for recording in found] == expected["y"].tolist()
    for recording, signal in zip(found, expected["X"], strict=True):
        assert np.array_equal(recording.signal, signal.astype(np.float32))
    # Also from a folder of the user's.
    shutil.copy(path, tmp_path)
    assert watch_path(tmp_path) == tmp_path / NAME
