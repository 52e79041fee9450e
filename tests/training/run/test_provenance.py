import hashlib
import importlib.metadata
import subprocess
from pathlib import Path

import pytest

import fdkd_lightning
from fdkd_lightning.training.run import provenance
from fdkd_lightning.training.run.provenance import (
    describe_data,
    git_commit,
    package_versions,
    sha256,
    weight_files,
)


def test_versions_are_those_installed() -> None:
    versions = package_versions()
    assert versions["torch"] == importlib.metadata.version("torch")
    assert {"python", "fdkd_lightning", "lightning"} <= versions.keys()


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_that_of_the_folder_and_dirty_when_a_tracked_file_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Temporary folders may lie in a checkout.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_commit(tmp_path) is None
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-qm", "a")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert len(commit) == 40
    (tmp_path / "untracked").touch()
    assert git_commit(tmp_path) == commit
    (tmp_path / "a.py").write_text("2")
    assert git_commit(tmp_path) == f"{commit}-dirty"


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    monkeypatch.setenv("PATH", "")
    assert git_commit(tmp_path) is None


def test_data_are_compared_without_arguments_about_loading() -> None:
    spec = {"class_path": "mine.Data", "init_args": {"root": "/a", "k": 2, "none": None}}
    here = {"class_path": "mine.Data", "init_args": {"root": "/b", "k": 2}}
    assert describe_data(spec, ["root"]) == describe_data(here, ["root"])
    assert describe_data(spec, ["root"]) != describe_data(spec, [])
    assert describe_data({"class_path": "mine.Data"}, []) == {
        "class_path": "mine.Data",
        "init_args": {},
    }


def test_files_that_weights_are_read_from_are_known_by_their_hash(tmp_path: Path) -> None:
    file = tmp_path / "teacher.ckpt"
    file.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert sha256(file) == digest
    pretrained = {"class_path": "x.PretrainedModel", "init_args": {"checkpoint": str(file)}}
    missing = {"class_path": "x.PretrainedModel", "init_args": {"checkpoint": "nowhere.ckpt"}}
    inner = {"class_path": "x.Outer", "init_args": {"parts": [missing, pretrained]}}
    spec = {
        "class_path": "x.Module",
        "init_args": {"teachers": {"audio": pretrained, "text": missing}, "student": inner},
    }
    found = {"file": "teacher.ckpt", "sha256": digest}
    assert dict(weight_files(spec)) == {"teachers.audio": found, "student.parts.1": found}


def test_a_change_anywhere_in_the_package_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[Path] = []
    monkeypatch.setattr(provenance, "_git", lambda *_: "tracked")
    monkeypatch.setattr(provenance, "git_commit", lambda folder, _: folders.append(folder))
    provenance.package_commit()
    assert folders == [Path(fdkd_lightning.__file__).parent]
