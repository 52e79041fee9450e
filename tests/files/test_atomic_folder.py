import multiprocessing
import os
from pathlib import Path

import pytest

from fdkd_lightning.files.atomic_folder import atomic_folder


def old(folder: Path) -> Path:
    (folder / "export").mkdir()
    (folder / "export" / "a").write_text("old")
    return folder / "export"


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = old(tmp_path)
    with atomic_folder(folder) as new:
        (new / "b").write_text("new")
        assert content(folder) == {"a": "old"}
    assert content(folder) == {"b": "new"}
    assert os.listdir(tmp_path) == ["export"]


def test_a_failure_leaves_it_as_it_was(tmp_path: Path) -> None:
    folder = old(tmp_path)

    def failing() -> None:
        with atomic_folder(folder) as new:
            (new / "b").write_text("new")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"cannot write .*export \(No space left"):
        failing()
    assert content(folder) == {"a": "old"}
    assert os.listdir(tmp_path) == ["export"]


def _killed(folder: Path, moved: bool) -> None:
    with atomic_folder(folder) as new:
        (new / "b").write_text("new")
        if moved:
            folder.rename(new.parent / "old")
        os._exit(9)


@pytest.mark.parametrize("moved", [True, False])
def test_what_a_killed_process_left_is_settled_by_the_next(tmp_path: Path, moved: bool) -> None:
    folder = old(tmp_path)
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=_killed, args=(folder, moved))
    process.start()
    process.join()
    assert len(os.listdir(tmp_path)) == (1 if moved else 2)
    with atomic_folder(folder) as new:
        assert content(folder) == {"a": "old"}
        # One at work is not touched.
        with atomic_folder(folder):
            assert new.exists()
        (new / "c").write_text("newer")
    assert content(folder) == {"c": "newer"}
    assert os.listdir(tmp_path) == ["export"]
