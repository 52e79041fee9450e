import os
from pathlib import Path

import pytest

from fdkd_lightning.data.preparation import source_files
from fdkd_lightning.data.preparation.media_error import LFS_LIMIT
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


def test_a_link_among_frames_to_outside_is_marked(tmp_path: Path) -> None:
    (tmp_path / "root" / "clip").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(b"1")
    (tmp_path / "root" / "0.jpg").write_bytes(b"1")
    (tmp_path / "root" / "clip" / "0.jpg").symlink_to("../0.jpg")
    assert not SourceFiles(tmp_path / "root").find("clip").outside
    (tmp_path / "root" / "clip" / "1.jpg").symlink_to(tmp_path / "secret.jpg")
    assert SourceFiles(tmp_path / "root").find("clip").outside == str(tmp_path / "secret.jpg")
    followed = SourceFiles(tmp_path / "root", follow_links=True).find("clip")
    assert followed.version
    assert not followed.outside


def test_frames_are_compared_by_content(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    frame = tmp_path / "clip" / "0.jpg"
    frame.write_bytes(b"1")
    os.utime(frame, ns=(1, 1))

    def versions() -> list[str]:
        return [SourceFiles(tmp_path, kind).find("clip").version for kind in ("time", "content")]

    first = versions()
    os.utime(frame, ns=(1, 2))
    later = versions()
    assert later[0] != first[0]
    assert later[1] == first[1]
    frame.write_bytes(b"2")
    os.utime(frame, ns=(1, 2))
    assert versions()[0] == later[0]
    assert versions()[1] != first[1]


def test_a_check_finds_what_needs_no_decoder(tmp_path: Path) -> None:
    (tmp_path / "whole.mp4").write_bytes(b"clip")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "frames").mkdir()
    (tmp_path / "torn.wav").write_bytes(b"RIFF" + (1000).to_bytes(4, "little") + bytes(500))
    files = SourceFiles(tmp_path)
    faults = {name: files.check(name) for name in ("whole.mp4", "empty.mp4", "frames", "torn.wav")}
    assert faults.pop("whole.mp4") is None
    assert [fault and fault.status for fault in faults.values()] == ["empty", "empty", "truncated"]
    assert "the file has 508 of 1,008 bytes" in str(faults["torn.wav"])


def test_a_check_opens_no_large_file_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In any of these something may be wrong that only a look inside tells.
    looked_into = ["pointer.mp4", "secret.mp4", "torn.WAV", "frames"]
    (tmp_path / "frames").mkdir()
    (tmp_path / "pointer.mp4").write_bytes(bytes(LFS_LIMIT - 1))
    for name in ("large.mp4", "secret.mp4", "torn.WAV"):
        (tmp_path / name).write_bytes(bytes(LFS_LIMIT))
    (tmp_path / "secret.mp4").chmod(0o600)
    opened = []

    def note(path: str | Path) -> None:
        opened.append(Path(path).name)

    monkeypatch.setattr(source_files, "check_file", note)
    monkeypatch.setattr(source_files, "list_frames", note)
    files = SourceFiles(tmp_path)
    for name in (*looked_into, "large.mp4"):
        assert files.check(name) is None
    assert opened == looked_into
