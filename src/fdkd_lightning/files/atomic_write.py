"""Write files such that each is complete under its name, whatever happens meanwhile."""

import contextlib
import errno
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

SUFFIX = ".partial"
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""Errors of a disk, which do not say of which file they are."""


@contextmanager
def atomic_write(
    path: str | Path, mode: str = "wb", *, newline: str | None = None, is_one_of_many: bool = False
) -> Iterator[IO[Any]]:
    """Open a file for writing that appears under its name when the block ends, or not at all.

    It is written beside its target, in the same file system, flushed to the disk and renamed. If
    writing fails (a full disk), the previous file stays as it is and the partial one is removed.
    Partial files ``.<name>.<random>.partial`` of killed processes are removed by the next write of
    the same file. If several processes write a file at once, the last one wins.

    Args:
        path: The file, in an existing folder.
        mode: ``"wb"`` or ``"w"``.
        newline: As of ``open``. Text is written as UTF-8.
        is_one_of_many: Do not look for partial files, which takes time in a folder of thousands;
            call :func:`remove_partial_files` once instead.

    Raises:
        OSError: If the file cannot be written; the message names it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "run.json"
        >>> with atomic_write(path, "w") as file:
        ...     _ = file.write("{}")
        >>> path.read_text()
        '{}'
    """
    path = Path(path)
    encoding = None if "b" in mode else "utf-8"
    # File names have at most 255 bytes.
    start = f".{path.name.encode()[:180].decode(errors='ignore')}."
    with naming(path):
        if not is_one_of_many:
            remove_partial_files(path.parent, start)
        partial = path.with_name(f"{start}{uuid.uuid4().hex}{SUFFIX}")
        try:
            with partial.open(mode, encoding=encoding, newline=newline) as file:
                hold(file)
                yield file
                file.flush()
                os.fsync(file.fileno())
                replace_durably(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def replace_durably(source: str | Path, target: str | Path) -> None:
    """Rename a file whose content is on the disk, and bring the new name to the disk."""
    os.replace(source, target)
    # Some systems cannot flush a folder. The rename is complete in any case.
    with contextlib.suppress(OSError):
        folder = os.open(Path(target).parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def flush_to_disk(path: str | Path) -> None:
    """Bring the content of a file that a library has written to the disk."""
    with Path(path).open("rb+") as file:
        os.fsync(file.fileno())


def remove_partial_files(folder: Path, start: str = ".") -> None:
    """Remove partial files of killed processes whose names begin with ``start``."""
    for name in os.listdir(folder):
        if name.startswith(start) and name.endswith(SUFFIX) and not is_held(folder / name):
            (folder / name).unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the system, such as a full disk, name the file and what to do."""
    try:
        yield
    except OSError as error:
        own = str(error.filename or "").startswith(str(path.parent))
        if (error.errno not in DISK and not own) or str(path) in (error.strerror or ""):
            raise
        message = (
            f"cannot write {path} ({error.strerror}); a previous file of that name is unchanged: "
            "make room or permit writing there, and run again"
        )
        raise type(error)(error.errno, message) from error


def hold(file: IO[Any]) -> None:
    """Mark a file as being written, until it is closed or its process ends."""
    if fcntl is not None:
        with contextlib.suppress(OSError):  # a file system without locks
            # Another process may hold it for the moment in which it asks whether it is held.
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)


def is_held(path: Path) -> bool:
    """Return whether a process may still be writing a file."""
    if fcntl is None:
        return True
    try:
        with path.open("rb+") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(file.fileno())
            # Its process may be about to mark it.
            return not found.st_size and time.time() - found.st_mtime < 1
    except FileNotFoundError:
        return False
    except OSError:  # held, or a file system without locks
        return True
