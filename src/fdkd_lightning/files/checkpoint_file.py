"""Read a checkpoint without running code from it; name one that is damaged."""

import errno
import re
import zipfile
from pathlib import Path
from typing import Any

import torch


class DamagedCheckpointError(ValueError):
    """A file is no checkpoint, or only a part of one."""


def load_checkpoint(
    path: str | Path, name: str, *, map_location: Any = "cpu", remedy: str = ""
) -> Any:
    """Return the content of a file of ``torch.save``; only weights and plain values are unpickled.

    Args:
        path: The file.
        name: What an error calls the file, such as ``checkpoint='best.ckpt'``.
        map_location: As of ``torch.load``.
        remedy: What to do about a damaged file; "": copy it again, or train that model again.

    Raises:
        DamagedCheckpointError: If the file is empty, cut off or no checkpoint.
        ValueError: If it holds pickled code.
    """
    check_checkpoint(path, name, remedy)
    if zipfile.is_zipfile(path) and not _sums_are_right(path):
        raise _damaged(name, "its bytes have changed", remedy)
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # damaged files raise errors of any type
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # of the file system: no permission, stale handle ...
        code = pickled_code(error)
        if code is not None:
            raise ValueError(
                f"{name} holds pickled code ({code}), which is never run: save "
                "`model.state_dict()` and plain values. The weights of a file that you trust: "
                "torch.save(torch.load(path, weights_only=False)['state_dict'], 'weights.pt')"
            ) from error
        raise _damaged(name, "its content cannot be read", remedy) from error


def check_checkpoint(path: str | Path, name: str, remedy: str = "") -> None:
    """Raise if a file is empty or cut off, without reading its weights."""
    with Path(path).open("rb") as file:
        start = file.read(4)
        if not start:
            raise _damaged(name, "it is empty", remedy)
        # torch's older formats have no directory at their end; they are found damaged on reading.
        if start[:2] == b"PK":
            try:
                zipfile.ZipFile(file).close()
            except zipfile.BadZipFile as error:
                raise _damaged(name, "it is cut off", remedy) from error
        elif not any(start):
            raise _damaged(name, "it begins with zeros", remedy)


def _sums_are_right(path: str | Path) -> bool:
    """Return whether the records have the check sums that they were written with.

    ``torch.load`` does not look at them. They are 0 where their writer left them out.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for record in archive.infolist():
                if record.CRC:
                    with archive.open(record) as content:
                        while content.read(1 << 20):
                            pass
    except (zipfile.BadZipFile, EOFError):
        return False
    return True


def pickled_code(error: Exception) -> str | None:
    """Return the class or function that ``torch.load`` refused to unpickle; None: another error."""
    found = re.search(r"GLOBAL (\S+)", str(error))  # the pickle opcode that names it
    return None if found is None else found[1]


def _damaged(name: str, why: str, remedy: str) -> DamagedCheckpointError:
    remedy = remedy or "copy it again, or train that model again"
    return DamagedCheckpointError(f"{name} is not a checkpoint, or a damaged one ({why}): {remedy}")
