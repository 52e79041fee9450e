from pathlib import Path

import pytest

from fdkd_lightning.data.preparation.paths import (
    find_file,
    leaves_folder,
    require_root,
    within,
)


@pytest.mark.parametrize(
    ("path", "leaving"),
    [
        ("a.wav", False),
        ("a/b..c/d.wav", False),
        ("./a.wav", False),
        ("..", True),
        ("a/../b.wav", True),
        ("a/../../b.wav", True),
        ("/a.wav", True),
        ("C:\\a.wav", True),
        ("\\\\host\\a.wav", True),
        ("a\\..\\..\\b.wav", True),
        ("a\0.wav", True),
    ],
)
def test_a_path_that_may_leave_its_folder(path: str, leaving: bool) -> None:
    assert leaves_folder(path) == leaving


def test_a_list_lies_below_the_root_and_is_no_link_to_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "list.csv").touch()
    (root / "linked.csv").symlink_to(tmp_path / "list.csv")
    for name in ("../list.csv", str(tmp_path / "list.csv"), "linked.csv"):
        with pytest.raises(ValueError, match="leaves root="):
            within(root, name)
    assert within(root, "linked.csv", follow_links=True) == root / "linked.csv"
    with pytest.raises(ValueError, match="leaves root="):
        within(root, "../list.csv", follow_links=True)
    # A root that is a link itself, and links within it, are followed.
    (root / "own.csv").touch()
    (root / "again.csv").symlink_to(root / "own.csv")
    (tmp_path / "alias").symlink_to(root)
    for name in ("own.csv", "again.csv", "not/there.csv"):
        assert within(tmp_path / "alias", name) == tmp_path / "alias" / name


@pytest.mark.parametrize(
    ("given", "fitting"),
    [
        ("data", "data/CREMA-D"),  # two levels up
        ("data/CREMA-D/AudioWAV", "data/CREMA-D"),
        ("data/cremad", "data/CREMA-D"),  # does not exist
        ("data/CREMA-D/Image-01-FPS/clip", "data/CREMA-D"),
    ],
)
def test_the_level_that_fits_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, fitting: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("AudioWAV", "Image-01-FPS/clip"):
        (tmp_path / "data/CREMA-D" / folder).mkdir(parents=True)
    (tmp_path / "data/CREMA-D/train.csv").touch()
    with pytest.raises(FileNotFoundError) as caught:
        find_file(Path(given), ["train.csv", "train.txt"], "do so")
    folder = str(caught.value).removesuffix(": do so").rpartition("set root to ")[2]
    assert (tmp_path / folder).samefile(fitting)
    assert f"{given}/train.csv is missing; {folder} holds train.csv" in str(caught.value)
    assert find_file(Path(fitting), ["train.txt", "train.csv"], "") == Path(fitting) / "train.csv"


def test_a_folder_that_does_not_exist_is_said_to(tmp_path: Path) -> None:
    for i in range(7):
        (tmp_path / f"f{i}").touch()
    with pytest.raises(FileNotFoundError) as caught:
        require_root(tmp_path / "absent/below", tmp_path / "prepared", "a.wav")
    holds = f"{tmp_path} holds f0, f1, f2, f3, f4, ..."
    assert f"(root={tmp_path / 'absent/below'} does not exist; {holds})" in str(caught.value)
    (tmp_path / "prepared").mkdir()
    require_root(tmp_path / "absent", tmp_path / "prepared", "a.wav")
