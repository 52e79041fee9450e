import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fdkd_lightning.data.preparation.job import Job
from fdkd_lightning.data.preparation.recipe import FramesRecipe, ImageRecipe, Part
from fdkd_lightning.data.preparation.worker import Worker

Write = Callable[..., Path]


def test_a_process_holds_the_codecs_alone(
    tmp_path: Path, write_picture: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file of the current folder hides no module.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pickle.py").write_text("raise SystemExit(5)")
    job = Job(ImageRecipe(), write_picture(tmp_path / "a.png"), Part(), tmp_path / "a.jpg")
    worker = Worker(60)
    try:
        assert worker.run(job) is None
        assert job.target.read_bytes() == ImageRecipe().encode(job.source)
        assert worker.process is not None
        pid = worker.process.pid
        if os.path.exists(f"/proc/{pid}/status"):
            status = Path(f"/proc/{pid}/status").read_text()
            [peak] = re.findall(r"VmHWM:\s+(\d+)", status)
            assert int(peak) < 150_000
            assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()
        assert worker.run(job._replace(recipe=FramesRecipe())) is not None
        assert worker.process.pid == pid
    finally:
        worker.close()
    assert worker.process is None


def test_a_process_that_does_not_start_is_an_error_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(RuntimeError, match=r"did not start \(exit status 1\)"):
        Worker(60).run(Job(ImageRecipe(), tmp_path, Part(), tmp_path))


def test_an_error_that_cannot_be_sent_is_described(tmp_path: Path, write_picture: Write) -> None:
    class Odd(ImageRecipe):
        def encode(self, path: Path, part: Part) -> bytes:
            raise ImportError(lambda: None)

    worker = Worker(60)
    try:
        with pytest.raises(RuntimeError, match="ImportError: <function"):
            worker.run(Job(Odd(), tmp_path, Part(), tmp_path))
    finally:
        worker.close()
