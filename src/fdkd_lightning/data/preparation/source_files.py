"""The source files of a data set: where they lie, and which version of them lies there."""

import hashlib
import os
import stat
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Literal, NamedTuple

from fdkd_lightning.data.preparation.frame_folder import list_frames
from fdkd_lightning.data.preparation.media_error import (
    LFS_LIMIT,
    RIFF_SUFFIXES,
    MediaError,
    check_file,
    fault_of,
)

Compare = Literal["time", "content"]
"""Attribute that distinguishes versions of a file: size and modification time, or a hash.

A folder of frames has those of all its files.
"""

READABLE = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
"""Mode bits of a file that everyone may read."""


class SourceFile(NamedTuple):
    """State of a source file, found without decoding it.

    Args:
        version: Hash of what distinguishes the versions of the file; empty if it is not known.
        fault: Why the file cannot be read; None if it can.
        outside: Where the file really is, if that is outside of the root; else empty.
        is_presumed_whole: It is a file that everyone may read, too large for a git-LFS pointer.
    """

    version: str
    fault: MediaError | None = None
    outside: str = ""
    is_presumed_whole: bool = False


class SourceFiles:
    """The files below a root, each looked at once.

    Args:
        root: Folder of the source files.
        compare: What distinguishes versions of a file.
        follow_links: Allow links to files outside of the root.
    """

    def __init__(self, root: Path, compare: Compare = "time", follow_links: bool = False) -> None:
        self.root = str(root)
        self.compare = compare
        self.follow_links = follow_links
        self.found: dict[str, SourceFile] = {}
        self.checked: dict[str, MediaError | None] = {}
        self.absent = fault_of(FileNotFoundError())  # one, for data sets that are mostly absent
        self.inside = os.path.realpath(root).rstrip("/") + "/"
        self.real_folder = lru_cache(4096)(self._real_folder)

    def find(self, name: str) -> SourceFile:
        """Look at a file."""
        found = self.found.get(name)
        if found is None:
            found = self.found[name] = self._look(f"{self.root}/{name}")
        return found

    def check(self, name: str) -> MediaError | None:
        """Return the fault of a file, as far as it can be found without decoding."""
        if name not in self.checked:
            self.checked[name] = self._check(name)
        return self.checked[name]

    def _look(self, path: str) -> SourceFile:
        # Data sets have hundreds of thousands of files: nearly all are regular, below the root.
        folder, _, name = path.rpartition("/")
        real, is_inside = self.real_folder(folder)
        outside = "" if is_inside else self._outside(f"{real}/{name}")
        try:
            status = os.lstat(path)
            mode = status.st_mode
            if stat.S_ISLNK(mode):
                outside = self._outside(os.path.realpath(path))
                status = os.stat(path)
                mode = status.st_mode
        except OSError as error:
            fault = fault_of(error)
            fault = self.absent if fault.status == "missing" else fault
            return SourceFile("", fault, outside)
        version: object = ""
        try:
            if stat.S_ISDIR(mode) and not outside:
                version, outside = self._frames(path)
            elif not outside:
                version = self._version(path, status)
        except OSError as error:
            return SourceFile("", MediaError("unreadable", f"{error.strerror}"))
        digest = hashlib.sha256(repr(version).encode()).hexdigest()[:12]
        is_readable = stat.S_ISREG(mode) and mode & READABLE == READABLE
        return SourceFile(digest, None, outside, is_readable and status.st_size >= LFS_LIMIT)

    def _check(self, name: str) -> MediaError | None:
        if self.find(name).is_presumed_whole and not name.lower().endswith(RIFF_SUFFIXES):
            return None  # opening it would tell no more, and takes longest of all
        path = f"{self.root}/{name}"
        try:
            if os.path.isdir(path):
                list_frames(Path(path))
            else:
                check_file(path)
        except MediaError as error:
            return error
        return None

    def _real_folder(self, folder: str) -> tuple[str, bool]:
        """Return where a folder really is, and whether its files count as below the root."""
        real = os.path.realpath(folder)
        return real, not self._outside(f"{real}/")

    def _version(self, path: str, status: os.stat_result) -> tuple[int | str, ...]:
        if self.compare == "content" and stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                return (hashlib.file_digest(file, "sha256").hexdigest(),)
        return status.st_size, status.st_mtime_ns

    def _frames(self, folder: str) -> tuple[list[tuple[int | str, ...]], str]:
        """Return name and version of each file of a folder of frames, and where a link leads."""
        files: list[tuple[int | str, ...]] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink() and (outside := self._outside(os.path.realpath(entry.path))):
                    return [], outside
                files.append((entry.name, *self._version(entry.path, entry.stat())))
        # The names alone sort: no two are equal.
        return sorted(files, key=itemgetter(0)), ""

    def _outside(self, real: str) -> str:
        if self.follow_links:
            return ""
        return "" if real.startswith(self.inside) else real
