from pathlib import Path

import pytest

from fdkd_lightning.data.sets.ave_events import Event, leaks, read_events


def event(split: str, video: str) -> Event:
    return Event(split, "Bus", video, 0, 10, f"{split} {video}")


def test_the_row_of_the_earlier_split_is_the_leak() -> None:
    events = [event("train", "a"), event("train", "b"), event("train", "c"), event("val", "b")]
    events += [event("test", "a"), event("test", "b")]
    assert leaks(events) == {
        "train a": "its video is in test a too",
        "train b": "its video is in test b too",
        "val b": "its video is in test b too",
    }


def test_two_events_of_a_video_in_one_split_are_no_leak() -> None:
    assert leaks([event("train", "a"), event("train", "a")]) == {}


def test_a_list_is_read_with_its_places(tmp_path: Path) -> None:
    path = tmp_path / "valSet.txt"
    path.write_text("Category&VideoID&Quality&StartTime&EndTime\n\nBus&x&good&0.5&7\n")
    assert read_events(path, "val") == [Event("val", "Bus", "x", 0.5, 7, "valSet.txt, line 3")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Bus&x&good&0", "expected Category&VideoID&Quality&Start&End, got"),
        ("Bus&x&good&0&ten", "expected seconds from the start, 0 or more, got 'ten'"),
        ("Bus&x&good&-1&5", "expected seconds from the start, 0 or more, got '-1'"),
        ("Bus&x&good&nan&5", "expected seconds from the start, 0 or more, got 'nan'"),
    ],
)
def test_a_row_of_another_form_is_an_error(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "valSet.txt").write_text(f"Bus&x&good&0&1\n{row}\n")
    with pytest.raises(ValueError, match=rf"valSet.txt, line 2: .*{message}"):
        read_events(tmp_path / "valSet.txt", "val")
