"""An exception in a few lines, with the place where the value that it names was given."""

import re
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from fdkd_lightning.files.atomic_write import DISK
from fdkd_lightning.training.parser.config_source import Setting, find_named, find_setting

FULL = ": make room on the disks of the run's and the temporary folder, and run again"
"""Remedy for an error of a disk that names no file, as of loggers."""

MONITOR = re.compile(
    r"`ModelCheckpoint\(monitor='(?P<name>[^']*)'\)` could not find the monitored key in the "
    r"returned metrics: \[(?P<logged>[^\]]*)\]"
)
"""Lightning's error of a module that does not log what the best checkpoint is best in."""
OF_TIME = {"epoch", "step"}

MOST_LINES = 5
WIDEST = 500
"""Longer lines are cut in their middle: the argument is at the beginning, the remedy at the end."""

VALUE = r"(?P<value>'[^']*'|\"[^\"]*\"|\[[^\]]*\]|\([^)]*\)|[^\s,:;]+)"
REMEDY = r"(?<!--)(?<!set )(?<!use )(?<!give )(?<!add )(?<!pass )(?<!try )"
ASSIGNED = re.compile(rf"{REMEDY}\b(?P<name>[A-Za-z_][\w.]*)={VALUE}")
"""A key and the value it has; a remedy names one that it does not have."""
BESIDE = re.compile(
    r"\b(?P<name>[a-z]\w*) (?P<value>'[^']+')|\b(?P<key>[a-z]+_\w+) (?P<number>-?\d[\w.+-]*)"
)
"""A key as a word, followed by its value; a number needs a word that is no word of English."""


def explain_exception(error: BaseException, given: Sequence[str]) -> str:
    """Return an exception in at most four lines, the last of which says how to see its traceback.

    An exception that another package raised is given with its type and the line of code.
    """
    message = message_of(error)
    if monitored := MONITOR.match(message):
        logged = [x for x in re.findall(r"'([^']*)'", monitored["logged"]) if x not in OF_TIME]
        example = next((x for x in logged if x.startswith("val")), "val_loss")
        message = (
            f"the module does not log {monitored['name']!r}, the monitor of a ModelCheckpoint; it "
            f"logs {', '.join(logged) or 'nothing'}. Give one of validation, such as "
            f"--checkpoint.monitor={example} with --checkpoint.mode=min or max, or in "
            "trainer.callbacks for a ModelCheckpoint of your own"
        )
    elif isinstance(error, OSError) and error.errno in DISK and "cannot write" not in message:
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
    """Append where a key was given that a message names with its value, if that is certain.

    Example:
        >>> given = ["fit", "--data.batch_size=0", "--model.width=12"]
        >>> print(with_place("batch_size=0 must be at least 1", given))
        batch_size=0 must be at least 1
          data.batch_size=0 is given on the command line
        >>> print(with_place("12 files are missing", given))
        12 files are missing
    """
    for found in _named(message, given):
        if len(found) == 1:
            return f"{message.rstrip()}\n  {found[0].text} is given {found[0].where}"
    return message


def _named(message: str, given: Sequence[str]) -> Iterator[list[Setting]]:
    for match in ASSIGNED.finditer(message):
        value = match["value"] if match["value"][0] in "'\"[(" else match["value"].rstrip(".)")
        yield find_named(given, match["name"], value)
    for match in BESIDE.finditer(message):
        name, value = match["name"] or match["key"], match["value"] or match["number"].rstrip(".")
        found = find_named(given, name, value)
        if name == "modality":
            teacher = find_setting(given, ["teachers", value.strip("'")])
            found += find_named(given, "student_modality", value)
            found += [] if teacher is None else [teacher]
        yield found


def clip(text: str, most: int = MOST_LINES) -> str:
    """Cut a text to a number of lines, of which the last may give a place."""
    lines = [_shortened(line) for line in text.split("\n")]
    lines = [line for line in lines if line.strip()]
    if len(lines) <= most:
        return "\n".join(lines)
    last = lines[-1:] if " given " in lines[-1] or "raised in" in lines[-1] else []
    kept = lines[: most - 1 - len(last)]
    return "\n".join([*kept, f"  ... ({len(lines) - len(kept) - len(last)} more lines)", *last])


def _shortened(line: str) -> str:
    half = (WIDEST - 5) // 2
    return line if len(line) <= WIDEST else f"{line[:half]} ... {line[-half:]}"


def _is_ours(filename: str) -> bool:
    return Path(filename).is_relative_to(Path(__file__).parents[2])
