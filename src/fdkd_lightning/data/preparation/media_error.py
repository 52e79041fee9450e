"""Error of a file that cannot become a sample, and a check that needs no decoder."""

import os
import stat
from pathlib import Path

COMPLETE = 0.8
"""Smallest fraction of its declared size or duration that a file must hold.

Published files end slightly before the duration that they declare.
"""

READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)
"""Flags to open a file with; Windows would else translate line ends."""

LFS_STUB = b"version https://git-lfs"

LFS_LIMIT = 1024
"""Size below which a file may be a git-LFS pointer, bytes (git-lfs docs/spec.md)."""

RIFF_SUFFIXES = (".wav", ".wave", ".avi", ".webp")
"""Suffixes of files that begin with their length."""


class MediaError(ValueError):
    """A file from which no sample can be made.

    Args:
        status: ``missing``, ``unreadable``, ``lfs-stub``, ``empty``, ``truncated``,
            ``zero-length``, ``no-stream``, ``undecodable``, ``too-large`` (beyond a limit that the
            reason names), ``crashed`` or ``timed-out`` (the decoding process ended, or had to be
            ended).
        reason: Description of the fault for the user.

    Example:
        >>> print(MediaError("missing", "there is no such file"))
        missing: there is no such file
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


def check_file(path: Path | str) -> None:
    """Check a file without decoding it.

    Raises:
        MediaError: If the file is missing, unreadable, no regular file (a folder, pipe or device),
            empty, a git-LFS pointer, or a WAV file shorter than its header declares.

    Example:
        >>> check_file(Path("absent.wav"))
        Traceback (most recent call last):
        fdkd_lightning.data.preparation.media_error.MediaError: missing: there is no such file
    """
    try:
        # Opening a pipe would wait for its writer.
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise MediaError("unreadable", "it is not a regular file: a folder, pipe or device")
        descriptor = os.open(path, READ)  # half the time of a file object, which counts for many
        try:
            head = os.read(descriptor, 64)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise fault_of(error) from error
    if not head:
        raise MediaError("empty", "the file has no bytes")
    if head.startswith(LFS_STUB):
        raise MediaError("lfs-stub", "the file is a git-LFS pointer: run git lfs pull")
    if head.startswith(b"RIFF") and len(head) >= 8:
        # FFmpeg ignores the declared length of a WAV file.
        declared = int.from_bytes(head[4:8], "little") + 8
        # Recorders that write to a pipe declare the largest number.
        if status.st_size < COMPLETE * declared and declared < 0xFFFFFF00:
            raise MediaError("truncated", f"the file has {status.st_size:,} of {declared:,} bytes")


def fault_of(error: OSError) -> MediaError:
    """Return the fault of a file that the system could not open.

    Example:
        >>> str(fault_of(FileNotFoundError()))
        'missing: there is no such file'
    """
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return MediaError("missing", "there is no such file")
    return MediaError("unreadable", f"{error.strerror}")
