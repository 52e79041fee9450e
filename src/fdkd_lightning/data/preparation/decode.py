"""Decode files in parallel, such that an interrupted run can be continued."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from joblib import Parallel, delayed, parallel_config
from tqdm import tqdm

from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe import MediaRecipe, Part
from fdkd_lightning.data.preparation.store import whole_file
from fdkd_lightning.ops.atomic_write import remove_partial_files

FILES_PER_PROCESS = 16
"""Decoding this many files takes less time than starting one more process, which imports torch."""


class Job(NamedTuple):
    """A file to decode.

    Args:
        recipe: Recipe that encodes the compact form.
        source: File to decode.
        part: Part of the file to decode.
        target: Path of the compact form.
    """

    recipe: MediaRecipe
    source: Path
    part: Part
    target: Path


def decode(jobs: Sequence[Job], workers: int, progress: bool) -> dict[Path, MediaError]:
    """Decode files and write their compact forms.

    Args:
        jobs: The files.
        workers: Largest number of processes.
        progress: Show a progress bar.

    Returns:
        Target -> fault, for the files that cannot be decoded.
    """
    failures = {}
    processes = min(workers, 1 + len(jobs) // FILES_PER_PROCESS)
    with (
        parallel_config("loky", n_jobs=processes, inner_max_num_threads=1),
        tqdm(total=len(jobs), desc="Decoding", unit="file", disable=not progress) as bar,
    ):
        for target, failure in _results(jobs, os.getpid()):
            bar.update()
            if failure is not None:
                failures[target] = failure
    return failures


def make_folders(folder: Path) -> None:
    """Create the 256 folders of the compact forms, and remove partial files of killed runs."""
    for i in range(256):
        (folder / f"{i:02x}").mkdir(parents=True, exist_ok=True)
        remove_partial_files(folder / f"{i:02x}")


def note_path(target: Path) -> Path:
    """Return the path of the note which records that the source of a target cannot be decoded."""
    return target.with_suffix(".failed")


def known_failure(source: Path, target: Path, noted: bool) -> MediaError | None:
    """Return the fault of a file that is missing, or that failed before and has not changed since.

    Args:
        source: The file.
        target: Path of its compact form.
        noted: Whether there is a note of an earlier failure.
    """
    version = _version(source)
    if noted:
        note = json.loads(note_path(target).read_text())
        if version in (None, note["version"]):
            return MediaError(note["status"], note["reason"])
    return MediaError("missing", "there is no such file") if version is None else None


def _version(source: Path) -> list[int] | None:
    """Return size and modification time, None if there is no such file."""
    try:
        stat = source.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [stat.st_size, stat.st_mtime_ns]


def _results(jobs: Sequence[Job], parent: int) -> Iterator[tuple[Path, MediaError | None]]:
    calls = (delayed(_decode_one)(job, parent) for job in jobs)
    results: Iterator[tuple[Path, MediaError | None]] = Parallel(return_as="generator_unordered")(
        calls
    )
    return results


def _decode_one(job: Job, parent: int) -> tuple[Path, MediaError | None]:
    if parent not in (os.getpid(), os.getppid()):
        # The main process was killed; its workers would otherwise work through their queue.
        raise SystemExit
    try:
        content = job.recipe.encode(job.source, job.part)
    except MediaError as error:
        version = _version(job.source)
        # A file that the system does not let us read may be readable in the next run.
        if version is not None and error.status != "unreadable":
            note = {"status": error.status, "reason": error.reason, "version": version}
            with whole_file(note_path(job.target)) as file:
                file.write(json.dumps(note).encode())
        return job.target, error
    with whole_file(job.target) as file:
        file.write(content)
    note_path(job.target).unlink(missing_ok=True)
    return job.target, None
