"""Find the files of VGGSound's clips in the layouts in which they are in circulation."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

UNSTRIPPED = "scratch/shared/beegfs/hchen/train_data/VGGSound_final"
"""Folders within the authors' archives."""

VIDEOS = (
    *("video", f"{UNSTRIPPED}/video"),
    *("train-videos/train-set", "test-videos/test-set"),
)
"""Folders of video files: the authors', and OGM-GE's."""

FRAMES = (
    *("train-videos/train-set-img/Image-01-FPS", "test-videos/test-set-img/Image-01-FPS"),
    *("video/frames/train/Image-01-FPS", "video/frames/test/Image-01-FPS"),
    *("Image-01-FPS", "visual"),
)
"""Folders of a folder of frames for each clip: those of OGM-GE, C2KD and later work."""

FRAME_PATHS = tuple(f"{folder}/" for folder in FRAMES)

SOUNDS = (
    *("audio", f"{UNSTRIPPED}/audio"),
    *("train-audios/train-set", "test-audios/test-set"),
)
"""Folders of sound files."""

MILLISECONDS = 1000
"""Length from which a clip of a name with two times is given in milliseconds, not in seconds."""


CUT = re.compile(r"v(.+)_(\d+)_(\d+)_out(\.\w+)?", re.ASCII)
PLAIN = re.compile(r"(.+)_(\d+)(\.\w+)?", re.ASCII)


class ClipFiles(NamedTuple):
    """Paths of the files of clips, relative to the root.

    Args:
        videos: (video, start) -> video file, or folder of frames.
        sounds: (video, start) -> sound file.
        has_sounds: There is a folder of sound files; else sound is read from the video files.
    """

    videos: dict[tuple[str, int], str]
    sounds: dict[tuple[str, int], str]
    has_sounds: bool

    def video(self, video: str, start: int) -> str:
        """Return the path of the video of a clip; that of the authors if it is missing."""
        return self.videos.get((video, start)) or f"video/{video}_{start:06d}.mp4"

    def sound(self, video: str, start: int) -> str:
        """Return the path of the sound of a clip."""
        if not self.has_sounds:
            path = self.video(video, start)
            if not path.startswith(FRAME_PATHS):  # frames have no sound
                return path
        return self.sounds.get((video, start)) or f"audio/{video}_{start:06d}.wav"


def find_files(root: Path) -> ClipFiles:
    """List the files of all clips below a root; of several of a clip, the first folder's counts."""
    sounds = [folder for folder in SOUNDS if (root / folder).is_dir()]
    videos = index_clips(root, VIDEOS, folders=False)
    frames = index_clips(root, FRAMES, folders=True)
    return ClipFiles(frames | videos, index_clips(root, sounds, folders=False), bool(sounds))


def clip_of(name: str) -> tuple[str, int] | None:
    """Return video and start, in seconds, of the clip that a file name means; None: of no clip.

    Example:
        >>> clip_of("--0PQM4-hqg_000030.mp4"), clip_of("v--0PQM4-hqg_30000_40000_out.mkv")
        (('--0PQM4-hqg', 30), ('--0PQM4-hqg', 30))
    """
    cut = CUT.fullmatch(name)
    if cut is not None:
        start, end = int(cut[2]), int(cut[3])
        if end - start < MILLISECONDS:
            return cut[1], start
        return (cut[1], start // 1000) if start % 1000 == 0 else None
    plain = PLAIN.fullmatch(name)
    return None if plain is None else (plain[1], int(plain[2]))


def index_clips(
    root: Path,
    names: Sequence[str],
    folders: bool,
    parse: Callable[[str], tuple[str, int] | None] = clip_of,
) -> dict[tuple[str, int], str]:
    """Return (video, start) -> path relative to the root; of several of a clip, the first counts.

    Folders that do not exist are skipped. Their entries are folders of frames, or else files.
    """
    found: dict[tuple[str, int], str] = {}
    for name in names:
        if not (root / name).is_dir():
            continue
        with os.scandir(root / name) as entries:
            for entry in entries:
                clip = parse(entry.name)
                if clip is not None and entry.is_dir() == folders:
                    found.setdefault(clip, f"{name}/{entry.name}")
    return found
