"""The events in the lists of AVE, and the videos that several splits share."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fdkd_lightning.files.read_file import read_text


class Event(NamedTuple):
    """One row of a list, with start and end in seconds of the video, and its file name and line."""

    split: str
    category: str
    video: str
    start: float
    end: float
    place: str


def leaks(events: Sequence[Event]) -> dict[str, str]:
    """Map the place of a row to the row of a later split that shows the same video.

    The events are in the order train, val, test.

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


def further_events(events: Sequence[Event]) -> dict[str, str]:
    """Map the place of a row to the first row of the same video and split.

    Example:
        >>> events = [Event("test", "Bus", "x", start, 10, f"line {start}") for start in (0, 5)]
        >>> further_events(events)
        {'line 5': 'another event of the video is line 0'}
    """
    found = {}
    first: dict[tuple[str, str], str] = {}
    for event in events:
        place = first.setdefault((event.split, event.video), event.place)
        if place != event.place:
            found[event.place] = f"another event of the video is {place}"
    return found


def read_events(path: Path, split: str) -> list[Event]:
    """Read a list: rows ``Category&VideoID&Quality&Start&End`` with an optional header."""
    events = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        cells = [cell.strip() for cell in line.split("&")]
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
        raise ValueError(f"{where}: expected seconds from the start, 0 or more, got {text[:80]!r}")
    return value
