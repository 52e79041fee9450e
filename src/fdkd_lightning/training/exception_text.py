"""An exception in a few lines, with the place where the value that it names was given."""

import re
import traceback
from collections.abc import Sequence
from pathlib import Path

from fdkd_lightning.ops.atomic_write import DISK
from fdkd_lightning.training.config_source import find_number, find_setting, find_value

FULL = ": make room on the disks of the run's and the temporary folder, and run again"
"""Remedy for an error of a disk that names no file, as of loggers."""

MOST_LINES = 5
WIDEST = 400
"""Longer lines are cut."""

ASSIGNED = re.compile(
    r"\b(?P<name>[A-Za-z_][\w.]*)=(?P<value>'[^']*'|\"[^\"]*\"|\[[^\]]*\]|\([^)]*\)|[^\s,:;]+)"
)
TICKED = re.compile(r"`(?P<name>[a-z]\w+)`")
NUMBER = re.compile(r"(?<![\w.'])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.]*\w)")
QUOTED = re.compile(r"'(?P<value>[^']+)'")


def explain_exception(error: BaseException, given: Sequence[str]) -> str:
    """Return an exception in at most four lines, the last of which says how to see its traceback.

    An exception that another package raised is given with its type and the line of code.
    """
    message = message_of(error)
    if isinstance(error, OSError) and error.errno in DISK and "cannot write" not in message:
        message += f"{FULL} (resume a fit with --ckpt_path=last)"
    frames = traceback.extract_tb(error.__traceback__)
    lines = with_place(message, given).splitlines()
    if not message or (frames and not _is_ours(frames[-1].filename)):
        lines[:1] = [f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")]
        if frames:
            last = frames[-1]
            lines.append(f"  raised in {last.filename}, line {last.lineno}, in {last.name}")
    return clip("\n".join(lines), most=MOST_LINES - 2) + "\n  add --debug for the traceback"


def message_of(error: BaseException) -> str:
    """Return an exception's message, that of a KeyError without quotation marks."""
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


def with_place(message: str, given: Sequence[str]) -> str:
    """Append where the value that a message names was given, if it was."""
    found = [
        find_setting(given, match["name"].split("."), match["value"].strip("'\""))
        for match in ASSIGNED.finditer(message)
    ]
    found += [find_value(given, match["value"]) for match in QUOTED.finditer(message)]
    names = [match["name"] for pattern in (ASSIGNED, TICKED) for match in pattern.finditer(message)]
    found += [find_setting(given, name.split(".")) for name in names]
    found += [find_number(given, match[0]) for match in NUMBER.finditer(message)]
    for setting in found:
        if setting is not None:
            return f"{message.rstrip()}\n  {setting.text} is given {setting.where}"
    return message


def clip(text: str, most: int = MOST_LINES) -> str:
    """Cut a text to a number of lines, of which the last may give a place."""
    lines = [
        line if len(line) <= WIDEST else f"{line[: WIDEST - 4]} ..." for line in text.split("\n")
    ]
    lines = [line for line in lines if line.strip()]
    if len(lines) <= most:
        return "\n".join(lines)
    last = lines[-1:] if " given " in lines[-1] or "raised in" in lines[-1] else []
    kept = lines[: most - 1 - len(last)]
    return "\n".join([*kept, f"  ... ({len(lines) - len(kept) - len(last)} more lines)", *last])


def _is_ours(filename: str) -> bool:
    return Path(filename).is_relative_to(Path(__file__).parents[1])
