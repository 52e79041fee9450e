"""Recipe of video frames."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fdkd_lightning.data.preparation.display import WHITE, check_background, flatten
from fdkd_lightning.data.preparation.frame_folder import read_frame_folder
from fdkd_lightning.data.preparation.media import read_frames
from fdkd_lightning.data.preparation.recipe.base import WHOLE, Generator, MediaRecipe, Part
from fdkd_lightning.data.preparation.recipe.image import load_views, to_jpeg
from fdkd_lightning.ops.checks import check_count, check_flags, check_range

if TYPE_CHECKING:
    from torch import Tensor


class FramesRecipe(MediaRecipe):
    """Frames of a video as square images, stored as JPEG files in one uncompressed ZIP file.

    The stored frames are divided into ``count`` equal segments in time. One frame of each segment
    is loaded: a random one in training, the middle one in evaluation. Crop and flip are drawn as in
    :class:`ImageRecipe`.

    A source may also be a folder of frames: image files of one size, in the order of the numbers in
    their names. All of them are stored; ``fps`` then states how many there are per second, which
    matters for segments alone.

    Args:
        fps: Frames to store per second, the first at 0 s; None: ``least`` frames, whatever the
            duration.
        least: Smallest number of frames to store, spread over the clip, if it has so many.
        count: T, the number of frames to load.
        size: Side of the loaded images, pixels.
        augment: Crop and flip at random in training.
        per_frame: Draw crop and flip for each frame, as OGM-GE, C2KD and the reproduction of
            FD-CMKD do; otherwise once for all frames of a clip.
        bound: Length of the shorter side of a stored frame, pixels; smaller frames keep their size.
        quality: Quality of the JPEG files, from 1 to 95.
        background: Colour behind transparent frames: red, green and blue from 0 to 255.

    Shape:
        - output: [T, 3, H, W] float32 from 0 to 1, H = W = size

    Raises:
        TypeError: If an argument has another type.
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
        background: tuple[int, int, int] = WHITE,
    ) -> None:
        if fps is not None:
            check_range("fps", fps, above=0)
        check_count("least", least, example=3)
        check_count("count", count)
        check_count("size", size, example=224)
        check_flags(augment=augment, per_frame=per_frame)
        check_count("bound", bound, example=256)
        check_count("quality", quality, 1, 95, example=95)
        self.fps = fps
        self.least = least
        self.count = count
        self.size = size
        self.augment = augment
        self.per_frame = per_frame
        self.bound = bound
        self.quality = quality
        self.background = check_background(background)

    def stored(self) -> dict[str, Any]:
        """Return which frames are stored, and their size, quality and background."""
        frames = {"fps": self.fps, "least": self.least}
        look = {"bound": self.bound, "quality": self.quality, "background": self.background}
        return frames | look

    def encode(self, path: Path, part: Part = WHOLE) -> bytes:
        """Decode frames of the segment, stored under their numbers."""
        if path.is_dir():
            images = read_frame_folder(path, self.fps, self.least, part.start, part.duration)
            frames: Iterable[bytes] = (
                to_jpeg(flatten(image, self.background), self.bound, self.quality)
                for image in images
            )
        else:
            frames = read_frames(
                path,
                self.fps,
                self.least if self.fps is None else None,
                1 if self.fps is None else self.least,
                part.start,
                part.duration,
                bound=self.bound,
                background=self.background,
                convert=lambda image: to_jpeg(image, self.bound, self.quality),
            )
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for number, frame in enumerate(frames, 1):
                # A ZipInfo is dated 1980 by default: the bytes do not depend on the time.
                name = zipfile.ZipInfo(f"{number:05d}.jpg")
                archive.writestr(name, frame)
        return content.getvalue()

    def load(self, source: Path, rng: Generator) -> "Tensor":
        """Load one frame of each segment."""
        with zipfile.ZipFile(io.BytesIO(source.read_bytes())) as archive:
            names = archive.namelist()
            chosen = [names[i] for i in choose_frames(len(names), self.count, rng)]
            images = [archive.read(name) for name in chosen]
        return load_views(images, self.size, rng if self.augment else None, self.per_frame)

    def blank(self, rng: Generator = None) -> "Tensor":
        """Return black frames."""
        import torch

        return torch.zeros(self.count, 3, self.size, self.size)


def choose_frames(total: int, count: int, rng: Generator) -> list[int]:
    """Choose a random frame (without a generator the middle one) of each of ``count`` segments.

    Example:
        >>> choose_frames(total=9, count=3, rng=None)
        [1, 4, 7]
    """
    positions = np.full(count, 0.5) if rng is None else rng.random(count)
    frames = ((part + position) * total / count for part, position in enumerate(positions))
    return [min(int(frame), total - 1) for frame in frames]  # rounding may reach the end
