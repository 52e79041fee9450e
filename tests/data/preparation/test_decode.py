import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fdkd_lightning.data.preparation.decode import decode, make_folders
from fdkd_lightning.data.preparation.job import Job
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
    assert repr(decode(jobs, workers=0, progress=False)) == failures
    assert contents(prepared) == by_two


def test_a_crash_costs_only_its_file(jobs: list[Job]) -> None:
    class Odd(AudioRecipe):
        def encode(self, path: Path, *arguments: Part) -> bytes:
            if path.stem == "1":
                os.kill(os.getpid(), signal.SIGSEGV)
            if path.stem == "2":
                time.sleep(60)
            if path.stem == "3":
                os._exit(7)
            print("a codec may print")
            return super().encode(path, *arguments)

    few = [job._replace(recipe=Odd(8000)) for job in jobs[:8]]
    failures = decode(few, workers=1, progress=False, time_limit=3)
    assert {target.stem: str(error) for target, error in failures.items()} == {
        "1": "crashed: the decoding process ended with SIGSEGV",
        "2": "timed-out: decoding took longer than 3 s",
        "3": "crashed: the decoding process ended with exit status 7",
        "5": "missing: there is no such file",
    }
    found = {path.name for path in jobs[0].target.parent.iterdir()}
    assert found == {"0.npy", "4.npy", "6.npy", "7.npy", "1.failed", "2.failed", "3.failed"}


def test_an_error_in_writing_stops_the_run(jobs: list[Job], tmp_path: Path) -> None:
    lost = [job._replace(target=tmp_path / "gone" / job.target.name) for job in jobs]
    for workers in (0, 1):
        with pytest.raises(FileNotFoundError, match="gone"):
            decode(lost, workers, progress=False)


def test_folders_are_made_and_partial_files_removed(tmp_path: Path) -> None:
    make_folders(tmp_path / "a")
    kept, partial = tmp_path / "a" / "0f" / "x.npy", tmp_path / "a" / "0f" / ".x.npy.1.partial"
    kept.touch()
    partial.write_bytes(b"half")  # an empty one may just have been begun
    make_folders(tmp_path / "a")
    assert kept.exists()
    assert not partial.exists()
    assert len(list((tmp_path / "a").iterdir())) == 256
