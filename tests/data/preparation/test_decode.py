import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fdkd_lightning.data.preparation.decode import (
    Job,
    decode,
    known_failure,
    make_folders,
    note_path,
)
from fdkd_lightning.data.preparation.recipe import AudioRecipe, Part

Write = Callable[..., Path]
FILES = 32  # enough for two processes


@pytest.fixture
def jobs(tmp_path: Path, write_wav: Write) -> list[Job]:
    """Audio files to decode, one of them missing."""
    (tmp_path / "prepared").mkdir()
    recipe = AudioRecipe(8000)
    made = []
    for i in range(FILES):
        source = write_wav(tmp_path / f"{i}.wav", 0.1 + 0.001 * i, 8000)
        made.append(Job(recipe, source, Part(), tmp_path / "prepared" / f"{i}.npy"))
    made[5].source.unlink()
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def decode_twice(jobs: list[Job]) -> None:
    """Decode all files, and then again, slowly, into another folder."""
    failures = decode(jobs, workers=2, progress=False)
    (jobs[0].target.parent / "failures").write_text(repr(failures))
    prepared = jobs[0].target.parent
    decode(
        [
            job._replace(recipe=slow(), target=prepared.with_name("slow") / job.target.name)
            for job in jobs
        ],
        workers=2,
        progress=False,
    )


def slow() -> AudioRecipe:
    """A recipe that takes its time; local, so that workers need not import this file."""

    class Slow(AudioRecipe):
        def encode(self, path: Path, *arguments: Part) -> bytes:
            time.sleep(0.2)
            return super().encode(path, *arguments)

    return Slow(8000)


@pytest.mark.slow
def test_processes_decode_the_same_and_end_with_a_killed_run(
    tmp_path: Path, jobs: list[Job]
) -> None:
    prepared, partial = tmp_path / "prepared", tmp_path / "slow"
    partial.mkdir()
    process = multiprocessing.get_context("fork").Process(target=decode_twice, args=(jobs,))
    process.start()
    while not list(partial.glob("*.npy")):
        assert process.is_alive()
        time.sleep(0.05)
    process.kill()
    process.join()
    time.sleep(0.6)  # what the workers had begun
    found = contents(partial)
    time.sleep(0.6)
    assert contents(partial) == found
    assert len(found) < FILES - 1
    failures = (prepared / "failures").read_text()
    (prepared / "failures").unlink()
    by_two = contents(prepared)
    assert len(by_two) == FILES - 1
    assert found.items() <= by_two.items()
    for path in prepared.iterdir():
        path.unlink()
    assert repr(decode(jobs, workers=1, progress=False)) == failures
    assert contents(prepared) == by_two


def test_a_failure_is_noted_until_the_file_changes(jobs: list[Job]) -> None:
    job = jobs[0]
    job.source.write_bytes(b"")
    failures = decode([job], workers=1, progress=False)
    assert failures[job.target].status == "empty"
    known = known_failure(job.source, job.target, noted=True)
    assert known is not None
    assert (known.status, known.reason) == ("empty", "the file has no bytes")
    assert known_failure(job.source, job.target, noted=False) is None
    os.utime(job.source, ns=(1, 1))
    assert known_failure(job.source, job.target, noted=True) is None
    job.source.unlink()
    missing = known_failure(job.source, job.target, noted=False)
    assert missing is not None
    assert missing.status == "missing"


def test_a_missing_or_unreadable_file_is_not_noted(jobs: list[Job]) -> None:
    folder = jobs[1].source
    folder.unlink()
    folder.mkdir()
    failures = decode([jobs[5], jobs[1]], workers=1, progress=False)
    assert [failures[job.target].status for job in (jobs[5], jobs[1])] == ["missing", "unreadable"]
    assert not list(jobs[0].target.parent.iterdir())


def test_a_decoded_file_loses_its_note(jobs: list[Job]) -> None:
    note = note_path(jobs[0].target)
    note.write_text("{}")
    assert decode(jobs[:1], workers=1, progress=False) == {}
    assert not note.exists()


def test_folders_are_made_and_partial_files_removed(tmp_path: Path) -> None:
    make_folders(tmp_path / "a")
    kept, partial = tmp_path / "a" / "0f" / "x.npy", tmp_path / "a" / "0f" / ".x.npy.1.tmp"
    kept.touch()
    partial.touch()
    make_folders(tmp_path / "a")
    assert kept.exists()
    assert not partial.exists()
    assert len(list((tmp_path / "a").iterdir())) == 256
