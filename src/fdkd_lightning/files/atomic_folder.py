"""Replace a folder of files such that it holds all old ones or all new ones."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fdkd_lightning.files.atomic_write import SUFFIX, flush_to_disk, hold, is_held, naming

HELD = "held"


@contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of another when the block ends, or not at all.

    What a killed process has left, ``.<name>.<random>.partial``, is settled by the next call for
    the same folder: the previous folder is restored if it was moved away already.

    Raises:
        OSError: If it cannot be written; the message names it, and it is unchanged.
    """
    folder = Path(folder).resolve()
    with naming(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _settle(folder)
        work = folder.with_name(f".{folder.name[:100]}.{uuid.uuid4().hex}{SUFFIX}")
        new, old = work / "new", work / "old"
        new.mkdir(parents=True)
        try:
            with (work / HELD).open("wb") as file:
                hold(file)
                file.write(b"held")  # an empty file may be one that is about to be held
                file.flush()
                yield new
                for path in new.rglob("*"):
                    if path.is_file():
                        flush_to_disk(path)
                if folder.exists():
                    folder.rename(old)
                new.rename(folder)
        finally:
            _restore(old, folder)
            shutil.rmtree(work, ignore_errors=True)


def _settle(folder: Path) -> None:
    for work in folder.parent.glob(f".{_escape(folder.name[:100])}.*{SUFFIX}"):
        if work.is_dir() and not ((work / HELD).exists() and is_held(work / HELD)):
            _restore(work / "old", folder)
            shutil.rmtree(work, ignore_errors=True)


def _restore(old: Path, folder: Path) -> None:
    if old.exists() and not folder.exists():
        old.rename(folder)


def _escape(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
