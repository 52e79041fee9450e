"""The clips in the lists of VGGSound, and the reasons to exclude some."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fdkd_lightning.files.read_file import csv_rows


class Clip(NamedTuple):
    """One row of a list, with the start in seconds of the video, and its file name and line."""

    video: str
    start: int
    label: str
    split: str
    place: str

    @property
    def name(self) -> str:
        """Name of the clip's files, without the suffix."""
        return f"{self.video}_{self.start:06d}"


def check_labels(root: Path, clips: Sequence[Clip]) -> None:
    """Raise if a label occurs in only one split.

    The classes are the labels that occur, and each has clips in both splits. A misspelt label would
    become a class and shift the numbers of others.
    """
    splits: dict[str, set[str]] = {}
    for clip in clips:
        splits.setdefault(clip.label, set()).add(clip.split)
    for clip in clips:
        if len(splits[clip.label]) == 1:
            raise ValueError(
                f"{root / clip.place}: label {clip.label!r} occurs only in the {clip.split} split, "
                "but every class has clips in both: correct the row"
            )


def faults_of(clips: Sequence[Clip]) -> dict[str, str]:
    """Map the place of each excluded row to the reason."""
    tested = {clip.video: clip.place for clip in reversed(clips) if clip.split == "test"}
    first: dict[str, str] = {}
    faults = {}
    for clip in clips:
        if clip.split == "train" and clip.video in tested:
            faults[clip.place] = f"its video is also in the test split: {tested[clip.video]}"
            continue
        place = first.setdefault(clip.name, clip.place)
        if place != clip.place:
            faults[clip.place] = f"the same clip is {place}"
    return faults


def read_list(path: Path, split: str | None = None) -> Iterator[Clip]:
    """Yield the clips of a list.

    Args:
        path: The list, rows ``id,start,label,split`` without a header.
        split: Split of all clips; the rows may then lack the column. None: read the column.
    """
    file = path.name
    for line, cells in csv_rows(path):
        place = f"{file}, line {line}"
        if len(cells) not in (3, 4) or (split is None and len(cells) == 3):
            raise ValueError(
                f"{path.parent / place}: expected "
                f"{'id,start,label,split' if split is None else 'id,start,label'}, "
                f"got {','.join(cells)[:80]!r}"
            )
        video, start, label = cells[0].strip(), cells[1].strip(), cells[2].strip()
        if not (start.isascii() and start.isdigit() and len(start) < 10):
            raise ValueError(
                f"{path.parent / place}: start {start[:80]!r} is not a whole number of seconds "
                "(the list must have no header)"
            )
        # 200,000 rows share some names.
        label, part = sys.intern(label), sys.intern(split or cells[3].strip())
        yield Clip(video, int(start), label, part, place)
