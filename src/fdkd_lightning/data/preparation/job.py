"""Decode one file into its compact form, or note why it cannot be decoded."""

import json
from pathlib import Path
from typing import NamedTuple

from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe.base import MediaRecipe, Part
from fdkd_lightning.data.preparation.store import whole_file

PASSING = ("missing", "unreadable", "too-large")
"""Statuses of faults that need not last: the file is decoded again in the next run."""


class Job(NamedTuple):
    """A file to decode.

    Args:
        recipe: Recipe that encodes the compact form.
        source: File to decode.
        part: Part of the file to decode.
        target: Path of the compact form.
        superseded: Compact forms and notes of earlier versions of the file, to be removed.
    """

    recipe: MediaRecipe
    source: Path
    part: Part
    target: Path
    superseded: tuple[Path, ...] = ()


def run_job(job: Job) -> MediaError | None:
    """Decode a file and write its compact form, or a note of its fault.

    Args:
        job: The file.

    Returns:
        The fault; None if the compact form was written.

    Raises:
        ImportError: If a package is missing.
        OSError: If the prepared folder cannot be written.
    """
    try:
        content = job.recipe.encode(job.source, job.part)
    except MediaError as error:
        fail(job, error, lasting=error.status not in PASSING)
        return error
    except ImportError:
        raise
    except Exception as error:
        # Whatever a file holds costs no other file; it may also be the recipe's fault, hence no
        # note.
        unknown = MediaError("undecodable", f"{type(error).__name__}: {error}")
        fail(job, unknown, lasting=False)
        return unknown
    with whole_file(job.target) as file:
        file.write(content)
    remove(note_path(job.target), *job.superseded)
    return None


def fail(job: Job, error: MediaError, lasting: bool) -> None:
    """Remove what earlier versions of a file left, and note its fault if it will stay.

    Args:
        job: The file.
        error: The fault.
        lasting: Do not decode the file again before it changes.
    """
    if lasting:
        note = {"status": error.status, "reason": error.reason}
        with whole_file(note_path(job.target)) as file:
            file.write(json.dumps(note).encode())
    remove(*job.superseded)


def note_path(target: Path) -> Path:
    """Return the path of the note which records that the source of a target cannot be decoded."""
    return target.with_suffix(".failed")


def read_note(note: Path) -> MediaError | None:
    """Return the fault that a note records; None if the note is gone or damaged.

    Args:
        note: The note.

    Example:
        >>> read_note(Path("absent.failed"))
    """
    try:
        content = json.loads(note.read_bytes())
        return MediaError(str(content["status"]), str(content["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        # The file is then decoded again, which tells the same.
        return None


def remove(*paths: Path) -> None:
    """Remove files; some may be gone."""
    for path in paths:
        path.unlink(missing_ok=True)
