"""The events in the lists of AVE, and the videos that several splits share."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Event(NamedTuple):
    """One row of a list.

    Args:
        split: The list's split.
        category: Name of the class.
        video: YouTube identifier of the video.
        start: Start of the event, in seconds from the start of the video.
        end: End of the event, in seconds from the start of the video.
        place: File name and line number of the row.
    """

    split: str
    category: str
    video: str
    start: float
    end: float
    place: str


def leaks(events: Sequence[Event]) -> dict[str, str]:
    """Map the place of a row to the row of a later split that shows the same video.

    Args:
        events: The events of all lists, in the order train, val, test.

    Example:
        >>> events = [Event(split, "Bus", "x", 0, 10, split) for split in ("train", "test")]
        >>> leaks(events)
        {'train': 'its video is in test too'}
    """
    last: dict[str, Event] = {}
    for event in events:
        if event.video not in last or last[event.video].split != event.split:
            last[event.video] = event
    return {
        event.place: f"its video is in {last[event.video].place} too"
        for event in events
        if last[event.video].split != event.split
    }


def read_events(path: Path, split: str) -> list[Event]:
    """Read a list of AVE.

    Args:
        path: The list, rows ``Category&VideoID&Quality&Start&End`` with an optional header.
        split: The split of its events.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a row has another form.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: set root to the authors' AVE_Dataset, which holds the lists and "
            "the videos (linked from https://github.com/YapengTian/AVE-ECCV18)"
        )
    events = []
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, 1):
        cells = line.strip().split("&")
        if not line.strip() or (number == 1 and cells[0] == "Category"):
            continue
        place = f"{path.name}, line {number}"
        if len(cells) != 5:
            raise ValueError(
                f"{path.parent / place}: expected Category&VideoID&Quality&Start&End, "
                f"got {line[:80]!r}"
            )
        category, video, _, start, end = cells
        first, last = (_seconds(cell, f"{path.parent / place}") for cell in (start, end))
        events.append(Event(split, category, video, first, last, place))
    return events


def _seconds(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{where}: expected seconds from the start, 0 or more, got {text!r}")
    return value
