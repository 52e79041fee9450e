"""Read the frames of a clip from a folder of image files."""

import re
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from fdkd_lightning.data.preparation.image_file import read_image
from fdkd_lightning.data.preparation.media_error import MediaError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def list_frames(folder: Path) -> list[Path]:
    """List the image files of a folder, in the order of the numbers in their names.

    Other files, and hidden ones, are ignored.
    """
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    except OSError as error:
        raise MediaError("unreadable", f"{error.strerror}") from error
    paths = [path for path in paths if not path.name.startswith(".")]
    if not paths:
        raise MediaError("empty", f"the folder has no image ({', '.join(SUFFIXES)})")
    return sorted(paths, key=lambda path: (_numbered(path.stem), path.name))


def read_frame_folder(
    folder: Path,
    fps: float | None,
    least: int,
    start: float | None = None,
    duration: float | None = None,
) -> Iterator[Image.Image]:
    """Read the frames of a clip one after the other.

    Args:
        folder: Folder of image files of one size, in the order of the numbers in their names.
        fps: Frames per second that the folder holds, the first at 0 s; all of the segment are read.
            None: read ``least`` of them, spread over the clip.
        least: Number of frames if ``fps`` is None; frames repeat where there are fewer.
        start: Start of the segment, seconds; None: the first frame.
        duration: Length of the segment, seconds; None: to the last frame.
    """
    paths = list_frames(folder)
    if start is not None or duration is not None:
        if fps is None:
            raise MediaError("undecodable", "frames of a folder have no time without fps")
        first = start or 0.0
        last = float("inf") if duration is None else first + duration
        # Half a frame at the ends: start and duration are rounded.
        paths = [p for i, p in enumerate(paths) if first - 0.5 / fps < i / fps + 1e-6 < last]
        if not paths:
            raise MediaError("zero-length", f"no frames after {first:g} s")
    if fps is None:
        paths = [paths[(2 * i + 1) * len(paths) // (2 * least)] for i in range(least)]
    size: tuple[int, int] | None = None
    for path in paths:
        try:
            image = read_image(path)
        except MediaError as error:
            raise MediaError(error.status, f"{path.name}: {error.reason}") from error
        if size not in (None, image.size):
            raise MediaError("undecodable", f"{path.name}: {image.size} pixels, others {size}")
        size = image.size
        yield image


def _numbered(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts the numbers in names as numbers."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
