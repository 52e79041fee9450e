"""Frames of a clip."""

import io
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fdkd_lightning.data.preparation.media import read_frames
from fdkd_lightning.data.preparation.recipe.base import WHOLE, Generator, MediaRecipe, Part
from fdkd_lightning.data.preparation.recipe.image import load_views, to_jpeg
from fdkd_lightning.ops.checks import check_range


class FramesRecipe(MediaRecipe):
    """Some frames of a clip as square pictures, kept as JPEG files in one uncompressed ZIP file.

    The stored frames are cut into ``count`` equal parts, in time; one of each is loaded, any in
    training and the middle one in evaluation. Views are drawn as :class:`ImageRecipe` draws them.

    Args:
        fps: Frames to store per second, the first at 0 s; None: ``least`` frames whatever the
            length.
        least: Store at least so many, spread over the clip, if it has them.
        count: T, the frames to load.
        size: Side of what is loaded, pixels.
        augment: Draw a part and mirror it in training.
        per_frame: Draw for each frame by itself, as OGM-GE, C2KD and the reproduction of FD-CMKD
            do; otherwise all frames of a clip get the same view.
        bound: The shorter side of the stored frames, pixels; smaller ones are kept as they are.
        quality: JPEG's, from 1 to 95.

    Shape:
        - output: [T, 3, H, W] float32 from 0 to 1, H = W = size

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> FramesRecipe(count=3, size=64).blank().shape
        torch.Size([3, 3, 64, 64])
    """

    suffix: ClassVar[str] = ".zip"

    def __init__(
        self,
        fps: float | None = 1.0,
        least: int = 3,
        count: int = 1,
        size: int = 224,
        augment: bool = True,
        per_frame: bool = False,
        bound: int = 256,
        quality: int = 95,
    ) -> None:
        if fps is not None and not fps > 0:
            raise ValueError(f"fps={fps} must be above 0, or None")
        check_range("least", least, 1)
        check_range("count", count, 1)
        check_range("size", size, 1)
        check_range("bound", bound, 1)
        check_range("quality", quality, 1, 95)
        self.fps = fps
        self.least = least
        self.count = count
        self.size = size
        self.augment = augment
        self.per_frame = per_frame
        self.bound = bound
        self.quality = quality

    def stored(self) -> dict[str, Any]:
        """Which frames are stored, and their size and quality."""
        frames = {"fps": self.fps, "least": self.least}
        return frames | {"bound": self.bound, "quality": self.quality}

    def encode(self, path: Path, part: Part = WHOLE) -> bytes:
        """Frames of the segment, named by their number."""
        if self.fps is None:
            frames = read_frames(path, None, self.least, 1, part.start, part.duration)
        else:
            frames = read_frames(path, self.fps, None, self.least, part.start, part.duration)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for number, frame in enumerate(frames, 1):
                # A ZipInfo by itself is dated 1980: no clock gets into the bytes.
                name = zipfile.ZipInfo(f"{number:05d}.jpg")
                archive.writestr(name, to_jpeg(frame, self.bound, self.quality))
        return content.getvalue()

    def load(self, source: Path, rng: Generator) -> Tensor:
        """One frame of each part."""
        with zipfile.ZipFile(io.BytesIO(source.read_bytes())) as archive:
            names = archive.namelist()
            chosen = [names[i] for i in choose_frames(len(names), self.count, rng)]
            pictures = [archive.read(name) for name in chosen]
        return load_views(pictures, self.size, rng if self.augment else None, self.per_frame)

    def blank(self, rng: Generator = None) -> Tensor:
        """Black."""
        return torch.zeros(self.count, 3, self.size, self.size)


def choose_frames(total: int, count: int, rng: Generator) -> list[int]:
    """A frame of each of ``count`` equal parts of a clip: any, or without ``rng`` the middle one.

    Example:
        >>> choose_frames(total=9, count=3, rng=None)
        [1, 4, 7]
    """
    positions = np.full(count, 0.5) if rng is None else rng.random(count)
    chosen = ((part + place) * total / count for part, place in enumerate(positions))
    return [min(int(place), total - 1) for place in chosen]  # rounding may reach the end
