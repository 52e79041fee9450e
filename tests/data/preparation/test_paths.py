from pathlib import Path

import pytest

from fdkd_lightning.data.preparation.paths import leaves_folder, within


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
    # A root that is a link itself, and links within it, are followed.
    (root / "own.csv").touch()
    (root / "again.csv").symlink_to(root / "own.csv")
    (tmp_path / "alias").symlink_to(root)
    for name in ("own.csv", "again.csv", "not/there.csv"):
        assert within(tmp_path / "alias", name) == tmp_path / "alias" / name
