"""Find files below a folder, and check that paths stay there."""

import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath

SUSPICIOUS = re.compile(r"^/|\.\.|[:\\\0]")
"""Parts of a path that may lead out of its folder."""


def within(root: Path, name: str, follow_links: bool = False) -> Path:
    """Return the path of a file below the root, such as a list of the data set.

    Raises:
        ValueError: If the path is outside of the root, or a link to outside of it.

    Example:
        >>> within(Path("data"), "../list.csv")
        Traceback (most recent call last):
        ValueError: ../list.csv leaves root=data: use a path below it
    """
    path = root / name
    if leaves_folder(name):
        raise ValueError(f"{name} leaves root={root}: use a path below it")
    if not follow_links:
        try:
            inside = path.resolve().is_relative_to(root.resolve())
        except (OSError, RuntimeError):  # a link to itself
            inside = False
        if not inside:
            raise ValueError(
                f"{name} leaves root={root}, as a link: set follow_links=true to allow it"
            )
    return path


def find_file(
    root: Path,
    names: Sequence[str],
    advice: str,
    follow_links: bool = False,
    argument: str = "root",
) -> Path:
    """Return the first of several files below a root that exists; else raise with advice.

    Raises:
        FileNotFoundError: If none exists; the error names the folder that holds one, if it is one
            or two levels off.
        ValueError: If the path is outside of the root, or a link to outside of it.
    """
    paths = [within(root, name, follow_links) for name in names]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"{paths[0]} is missing{level_hint(root, names, argument)}: {advice}"
        )
    return found


def require_root(root: Path, prepared: Path, file: str) -> None:
    """Raise unless there is a folder of the source files, or of the prepared ones."""
    if not (root.is_dir() or prepared.is_dir()):
        raise FileNotFoundError(f"root={root} is no folder{level_hint(root, [file])}")


def level_hint(root: Path, names: Sequence[str], argument: str = "root") -> str:
    """Describe which folder, some levels off, holds one of the names and is to be given instead.

    Returns:
        A text to append to an error; empty if nothing is known.
    """
    start = root
    while not start.is_dir() and start != start.parent:
        start = start.parent
    for folder in _levels(start):
        name = next((name for name in names if os.path.lexists(folder / name)), None)
        if name is not None and folder != root:
            return f"; {folder} holds {name}: set {argument} to {folder}"
    if start == root:
        return ""
    inside = sorted(entry.name for entry in islice(os.scandir(start), 1000))
    shown = ", ".join(inside[:5]) + (", ..." if len(inside) > 5 else "")
    return f" ({argument}={root} does not exist; {start} holds {shown or 'nothing'})"


def _levels(start: Path) -> Iterator[Path]:
    """Yield a folder, the two below and the two above it, the nearest first."""
    yield start
    below = list(_folders(start))
    above = list(start.absolute().parents[:2])
    yield from (*below, *above[:1])
    for folder in below:
        yield from _folders(folder)
    yield from above[1:]


def _folders(folder: Path) -> Iterator[Path]:
    """Yield folders in a folder, in order; not all of a folder of very many."""
    try:
        entries = sorted(islice(os.scandir(folder), 1000), key=lambda entry: entry.name)
        yield from (folder / e.name for e in entries[:200] if e.is_dir() and e.name[0] != ".")
    except OSError:  # no permission
        return


def leaves_folder(path: str) -> bool:
    """Return whether a relative path may point outside of its folder; links are not resolved.

    Example:
        >>> leaves_folder("a/b.wav"), leaves_folder("../b.wav"), leaves_folder("/b.wav")
        (False, True, True)
    """
    if SUSPICIOUS.search(path) is None:
        return False  # nearly all; the rest takes a hundred times as long
    windows = PureWindowsPath(path)
    absolute = PurePosixPath(path).is_absolute() or bool(windows.anchor)
    return absolute or ".." in windows.parts or "\0" in path
