import errno
import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from fdkd_lightning.files import atomic_write as module
from fdkd_lightning.files.atomic_write import (
    atomic_write,
    flush_to_disk,
    remove_partial_files,
    replace_durably,
)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize(("mode", "content"), [("w", "ä\r\n"), ("wb", b"\x00\r\n")])
def test_a_file_appears_when_it_is_complete(tmp_path: Path, mode: str, content: Any) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with atomic_write(path, mode, newline="" if mode == "w" else None) as file:
        file.write(content)
        file.flush()
        assert path.read_text() == "before"
    assert path.read_bytes() == (content.encode() if mode == "w" else content)
    assert names(tmp_path) == ["a.txt"]


def test_it_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(handle: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        fsync(handle)

    def noting_replace(source: Any, target: Any) -> None:
        done.append("rename")
        replace(source, target)

    monkeypatch.setattr(module.os, "fsync", noting_fsync)
    monkeypatch.setattr(module.os, "replace", noting_replace)
    with atomic_write(tmp_path / "a") as file:
        file.write(b"a")
    assert done == ["file", "rename", "folder"]


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyError("x")])
def test_after_a_failure_the_previous_file_stands(tmp_path: Path, fault: Exception) -> None:
    path = tmp_path / "last.ckpt"
    path.write_text("before")
    message = r"cannot write .*last\.ckpt \(No space" if isinstance(fault, OSError) else "x"

    def failing() -> None:
        with atomic_write(path) as file:
            file.write(b"after")
            raise fault

    with pytest.raises(type(fault), match=message) as caught:
        failing()
    assert getattr(caught.value, "errno", None) == getattr(fault, "errno", None)
    assert path.read_text() == "before"
    assert names(tmp_path) == ["last.ckpt"]


def test_a_disk_that_is_full_at_the_last_flush_is_a_failure_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="make room"), atomic_write(tmp_path / "a") as file:
        file.write(b"a")
    assert names(tmp_path) == []


def test_the_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with atomic_write(tmp_path / "a"):
        pass
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)
    with atomic_write(path, "w") as file:
        file.write("a")
    assert path.read_text() == "a"


def _killed_while_writing(path: Path) -> None:
    with atomic_write(path) as file:
        file.write(b"half")
        file.flush()
        os._exit(9)


def test_partial_files_of_killed_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "a"
    process = multiprocessing.get_context("fork").Process(
        target=_killed_while_writing, args=(path,)
    )
    process.start()
    process.join()
    [left] = names(tmp_path)
    assert left.startswith(".a.")
    (tmp_path / ".b.0.partial").write_text("of another file")
    with atomic_write(path) as file:
        file.write(b"a")
        # One that is being written is kept.
        remove_partial_files(tmp_path)
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == ["a"]


def test_marking_a_file_waits_for_who_asks_whether_it_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    with path.open("rb+") as asking, path.open("rb+") as writing:
        module.fcntl.flock(asking.fileno(), module.fcntl.LOCK_EX)
        timer = threading.Timer(0.1, asking.close)
        timer.start()
        module.hold(writing)
        timer.join()
        assert module.is_held(path)


def test_a_file_that_a_library_wrote_is_flushed_and_renamed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    flush_to_disk(tmp_path / "a")
    replace_durably(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b").read_text() == "new"
