"""Fill the disk of a command: what was finished stays, and with room it ends as if undisturbed.

The disk is a file system in memory, which only root may mount; elsewhere these tests are skipped.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import export, fit, study
from killer import KILLS, STUDY, Killer
from test_kill import assert_whole, files, study_room, write_config

pytestmark = pytest.mark.skipif(KILLS < 10, reason="takes minutes: nox -s kill")

FILLER = "filler"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Killer]:
    """Runs processes in a folder that is a disk of 64 MB."""
    home = tmp_path / "home"
    for folder in (home, tmp_path / "temporary"):
        folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(home)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    for file in (STUDY / "tiny.py", Path(__file__).with_name("heavy.py")):
        shutil.copy(file, home)
    yield Killer(home, seed=0)
    subprocess.run(["umount", str(home)], check=True)


def leave(home: Path, free: float) -> None:
    """Fill the disk but for some bytes."""
    (home / FILLER).unlink(missing_ok=True)
    disk = os.statvfs(home)
    (home / FILLER).write_bytes(bytes(max(disk.f_bavail * disk.f_frsize - int(free), 0)))


def size(folder: Path) -> int:
    return sum(len(content) for content in files(folder).values())


def test_study(small_disk: Killer) -> None:
    home = small_disk.folder
    study_room().write_home(home)
    small_disk.finish(study, 1)
    results, needed = home / "out/results.csv", size(home / "out")
    expected = results.read_bytes()
    for tenths in range(0, 10, 2):
        shutil.rmtree(home / "out")
        leave(home, needed * tenths / 10)
        for _ in range(2):  # also when it is resumed
            code, printed = small_disk.end(study, 1)
            assert code == 1
            assert "No space left on device" in printed
            assert "Traceback" not in printed
            assert not results.exists()
            assert_whole(home)
            assert small_disk.partial_files() == []
        (home / FILLER).unlink()
        small_disk.finish(study, 1)
        assert results.read_bytes() == expected


@pytest.mark.parametrize("formats", ["torch_export", "onnx", "hub"])
def test_export(small_disk: Killer, formats: str) -> None:
    if formats == "onnx":
        pytest.importorskip("onnxruntime")
    home = small_disk.folder
    write_config(home)
    small_disk.finish(fit, "whole")
    small_disk.finish(export, "exported", formats)
    expected = files(home / "exported")
    for tenths in range(0, 10, 3):
        leave(home, size(home / "exported") * tenths / 10)
        code, printed = small_disk.end(export, "exported", formats)
        assert code == 1
        assert "exported (No space left on device); a previous file" in printed
        assert "Traceback" not in printed
        assert files(home / "exported") == expected
        (home / FILLER).unlink()
        assert [*home.glob(".exported.*")] == []
    small_disk.finish(export, "exported", formats)
    assert files(home / "exported") == expected
