"""A lock on a run's folder, so that two runs do not mix their files."""

import contextlib
import errno
import os
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from fdkd_lightning.files.atomic_write import naming

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

NAME = ".fit.lock"
PATIENCE = 10.0
"""Seconds to wait for what a killed process has left: loader workers notice its death late."""

_held: list[IO[Any]] = []


class RunLockedError(RuntimeError):
    """Another process is training in the folder."""


class RunLock:
    """Lock a folder until :meth:`release`, or until the process ends, however it ends.

    The system's lock of the file ``.fit.lock`` counts, not that the file exists: one of a killed
    process does not block. It holds across machines where the file system supports such locks, as
    NFS does; where it does not there is a warning, and no lock.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._file: IO[str] | None = None
        self._made: list[Path] = []

    def acquire(self) -> None:
        """Lock the folder.

        Raises:
            RunLockedError: If another process has locked it; the message names that process.
        """
        if fcntl is None:
            return
        self._made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / NAME
        end = time.monotonic() + PATIENCE
        # Not for writing alone, which would empty the other's note.
        file = path.open("a+", encoding="utf-8")
        while True:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(file, path):
                    break
                # The other has removed it meanwhile.
                file.close()
                file = path.open("a+", encoding="utf-8")
                continue
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    file.close()
                    rank_zero_warn(
                        f"{self.folder} is on a file system without locks ({error.strerror}): do "
                        "not run two fit in it at once"
                    )
                    return
            note = _read(file)
            if _is_alive(note) or time.monotonic() > end:
                file.close()
                raise RunLockedError(
                    f"another fit is running in {self.folder} ({note or 'starting'}): wait for "
                    "it, stop it, or choose another folder (--trainer.default_root_dir=...)"
                )
            time.sleep(0.2)
        self._file = file
        _held.append(file)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        note = f"process {os.getpid()} on {socket.gethostname()} since {now}"
        try:
            with naming(path):
                file.truncate(0)
                os.write(file.fileno(), note.encode())
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Unlock the folder, if it is locked."""
        if self._file is not None:
            _held.remove(self._file)
            (self.folder / NAME).unlink(missing_ok=True)
            self._file.close()
            self._file = None
        # Where nothing was written the run failed before it began.
        with contextlib.suppress(OSError):
            for folder in self._made:
                folder.rmdir()
        self._made = []


def is_rank_zero() -> bool:
    """Return whether this process is the first rank, also before there is a trainer."""
    return not getattr(rank_zero_only, "rank", 0)


def _is_at(file: IO[str], path: Path) -> bool:
    """Return whether an open file still has its path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _read(file: IO[str]) -> str:
    file.seek(0)
    return file.read(200)


def _is_alive(note: str) -> bool:
    """Return whether the process of a note runs, as far as this machine knows."""
    words = note.split()
    if len(words) < 4 or words[3] != socket.gethostname():
        return bool(words)
    try:
        os.kill(int(words[1]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _close_in_child() -> None:
    # A forked loader worker would keep the lock of a process that is killed.
    for file in _held:
        file.close()
    _held.clear()


if fcntl is not None:
    os.register_at_fork(after_in_child=_close_in_child)
