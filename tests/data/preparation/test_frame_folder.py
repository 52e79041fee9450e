from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fdkd_lightning.data.preparation.frame_folder import list_frames, read_frame_folder

Write = Callable[..., Path]
Status = Callable[[Callable[[], object]], str]


@pytest.fixture
def folder(tmp_path: Path, write_picture: Write) -> Path:
    """Ten frames whose red is ten times their number, and other files."""
    for i in range(10):
        write_picture(tmp_path / f"clip/frame_{i + 5}.png", color=(10 * i, 0, 0))
    (tmp_path / "clip/notes.txt").touch()
    (tmp_path / "clip/.hidden.jpg").touch()
    return tmp_path / "clip"


def numbers(folder: Path, *arguments: Any) -> list[int]:
    return [
        round(image.getpixel((0, 0))[0] / 10) for image in read_frame_folder(folder, *arguments)
    ]


def test_frames_are_in_the_order_of_their_numbers(folder: Path) -> None:
    assert [path.name for path in list_frames(folder)] == [f"frame_{i}.png" for i in range(5, 15)]
    assert numbers(folder, 1, 3) == list(range(10))


@pytest.mark.parametrize(
    ("fps", "start", "duration", "expected"),
    [
        (1, 2.0, 3.0, [2, 3, 4]),
        (2, 1.0, 1.5, [2, 3, 4]),
        (1, None, 2.0, [0, 1]),
        (1, 8.0, None, [8, 9]),
        (1, 0.4, 1.0, [0, 1]),
    ],
)
def test_a_segment_has_the_frames_of_its_time(
    folder: Path, fps: float, start: float | None, duration: float | None, expected: list[int]
) -> None:
    assert numbers(folder, fps, 1, start, duration) == expected


def test_without_a_rate_frames_are_spread_over_the_clip(folder: Path, status: Status) -> None:
    assert numbers(folder, None, 2) == [2, 7]
    assert numbers(folder, None, 20) == [i // 2 for i in range(20)]
    assert status(lambda: numbers(folder, None, 2, 1.0)) == "undecodable"


def test_faults_name_the_frame(folder: Path, write_picture: Write, status: Status) -> None:
    assert status(lambda: numbers(folder, 1, 1, 30.0)) == "zero-length"
    write_picture(folder / "frame_9.png", size=(7, 7))
    with pytest.raises(ValueError, match=r"frame_9.png: \(7, 7\) pixels, others \(40, 30\)"):
        numbers(folder, 1, 1)
    (folder / "frame_9.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty: frame_9.png: the file has no bytes"):
        numbers(folder, 1, 1)
    for path in folder.glob("*.png"):
        path.unlink()
    assert status(lambda: numbers(folder, 1, 1)) == "empty"
    assert status(lambda: list_frames(folder / "absent")) == "unreadable"
