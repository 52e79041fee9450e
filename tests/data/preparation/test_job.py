from collections.abc import Callable
from pathlib import Path

import pytest

from fdkd_lightning.data.preparation.job import Job, fail, note_path, read_note, run_job
from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe import AudioRecipe, Part

Write = Callable[..., Path]


@pytest.fixture
def job(tmp_path: Path, write_wav: Write) -> Job:
    """A file to decode, of which there is an earlier version."""
    (tmp_path / "prepared").mkdir()
    old = tmp_path / "prepared" / "a-0.npy"
    old.touch()
    source = write_wav(tmp_path / "a.wav", 0.1, 8000)
    return Job(AudioRecipe(8000), source, Part(), tmp_path / "prepared" / "a-1.npy", (old,))


def names(job: Job) -> list[str]:
    return sorted(path.name for path in job.target.parent.iterdir())


def test_a_compact_form_replaces_earlier_versions_and_notes(job: Job) -> None:
    note_path(job.target).write_text("{}")
    assert run_job(job) is None
    assert names(job) == ["a-1.npy"]


def test_a_fault_is_noted_and_read_again(job: Job) -> None:
    job.source.write_bytes(b"")
    failure = run_job(job)
    assert str(failure) == "empty: the file has no bytes"
    assert names(job) == ["a-1.failed"]
    assert str(read_note(note_path(job.target))) == str(failure)


def test_faults_that_may_pass_are_not_noted(job: Job) -> None:
    job.source.unlink()
    failure = run_job(job)
    assert failure is not None
    assert failure.status == "missing"
    assert names(job) == []
    fail(job, MediaError("crashed", "SIGKILL"), lasting=False)
    assert names(job) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"1", b'{"status": "x"}', b"\xff\xfe"])
def test_a_damaged_note_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.failed").write_bytes(content)
    assert read_note(tmp_path / "a.failed") is None
