import os
from pathlib import Path

from fdkd_lightning.data.preparation.source_files import SourceFiles


def test_a_version_follows_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    os.utime(path, ns=(1, 1))

    def version() -> str:
        return SourceFiles(tmp_path).find("a").version

    first = version()
    assert version() == first
    os.utime(path, ns=(1, 2))
    assert version() != first
    path.write_bytes(b"12")
    os.utime(path, ns=(1, 1))
    assert version() != first


def test_a_version_by_content_ignores_the_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    first = SourceFiles(tmp_path, "content").find("a").version
    os.utime(path, ns=(1, 1))
    assert SourceFiles(tmp_path, "content").find("a").version == first
    path.write_bytes(b"2")
    assert SourceFiles(tmp_path, "content").find("a").version != first


def test_files_outside_are_marked(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "a").write_bytes(b"1")
    (root / "a").symlink_to(tmp_path / "a")
    (root / "loop").symlink_to("loop")
    files = SourceFiles(root)
    assert files.find("a").outside == str((tmp_path / "a").resolve())
    fault = files.find("loop").fault
    assert fault is not None
    assert fault.status == "unreadable"
