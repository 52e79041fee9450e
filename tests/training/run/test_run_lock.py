import errno
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from fdkd_lightning.training.run.run_lock import NAME, RunLock, RunLockedError

FORK = multiprocessing.get_context("fork")


def _hold(folder: Path, ready: Any) -> None:
    RunLock(folder).acquire()
    # As a loader's worker, which outlives a killed process for seconds.
    child = FORK.Process(target=signal.pause)
    child.start()
    ready.put(child.pid)
    signal.pause()


def test_another_process_is_refused_and_named_until_it_dies(tmp_path: Path) -> None:
    ready: Any = FORK.Queue()
    holder = FORK.Process(target=_hold, args=(tmp_path, ready))
    holder.start()
    worker = ready.get()
    lock = RunLock(tmp_path)
    named = rf"another fit is running in .* \(process {holder.pid} on \S+ since 20.*\): wait"
    with pytest.raises(RunLockedError, match=named):
        lock.acquire()
    holder.kill()
    holder.join()
    os.kill(worker, 0)  # the worker is alive, and does not count
    lock.acquire()
    assert f"process {os.getpid()} on" in (tmp_path / NAME).read_text()
    lock.release()
    os.kill(worker, signal.SIGKILL)


def test_a_lock_is_released_once_and_can_be_taken_again(tmp_path: Path) -> None:
    first, second = RunLock(tmp_path / "new"), RunLock(tmp_path / "new")
    first.acquire()
    with pytest.raises(RunLockedError, match=f"process {os.getpid()} "):
        second.acquire()
    first.release()
    first.release()
    assert not (tmp_path / "new").exists()
    second.acquire()
    second.release()


def test_a_file_that_is_left_does_not_block(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("process 1 on elsewhere since 2020")
    lock = RunLock(tmp_path)
    lock.acquire()
    lock.release()


def test_a_file_system_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*args: Any) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fdkd_lightning.training.run.run_lock.fcntl.flock", unsupported)
    with pytest.warns(UserWarning, match="without locks"):
        RunLock(tmp_path).acquire()


def test_a_full_disk_is_named_and_nothing_stays_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    lock = RunLock(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match=f"cannot write {tmp_path}/run/{NAME} .*make room"):
            lock.acquire()
    assert not (tmp_path / "run").exists()
    lock.acquire()
    lock.release()
