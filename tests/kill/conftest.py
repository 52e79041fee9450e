"""Processes to kill, with a temporary folder in another file system."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from killer import STUDY, Killer


@pytest.fixture
def killer(tmp_path: Path) -> Iterator[Killer]:
    """Kills processes whose temporary folder is in another file system, where there is one."""
    memory = Path("/dev/shm")
    other = Path(tempfile.mkdtemp(dir=memory)) if os.access(memory, os.W_OK) else tmp_path / "other"
    other.mkdir(exist_ok=True)
    (tmp_path / "temporary").symlink_to(other)
    home = tmp_path / "home"
    home.mkdir()
    for file in (STUDY / "tiny.py", Path(__file__).with_name("heavy.py")):
        shutil.copy(file, home)
    yield Killer(home, seed=0)
    left = sorted(other.rglob("*"))
    shutil.rmtree(other)
    assert [path for path in left if path.suffix == ".ckpt"] == []
