"""What a modality's source becomes: its compact form on disk, and the tensor made from that."""

import hashlib
import io
import json
import math
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fdkd_lightning.data.base import check_range
from fdkd_lightning.data.media import MediaError, read_audio, read_frames, read_image

FORMAT_VERSION = 1
"""Of all compact forms; raise it whenever the same recipe would give other contents."""

Generator = np.random.Generator | None
"""Draws a training sample's view; None, in evaluation: the view is the same each time."""


class Recipe(ABC):
    """How one modality of a sample is loaded."""

    @abstractmethod
    def load(self, source: Any, rng: Generator) -> Any:
        """What goes into the batch; of the same shape for each sample."""

    @abstractmethod
    def blank(self) -> Any:
        """The same for a sample that lacks the modality."""


class MediaRecipe(Recipe):
    """How one modality is decoded once, and how the compact form is loaded.

    Arguments that :meth:`stored` does not name only change how the compact form is loaded: recipes
    that differ in nothing else share it.
    """

    suffix: ClassVar[str]

    @abstractmethod
    def stored(self) -> dict[str, Any]:
        """Name -> value of what decides the compact form's contents."""

    @abstractmethod
    def encode(self, path: Path, start: float | None, duration: float | None) -> bytes:
        """The compact form of a segment (None: to the file's beginning, or end).

        Raises:
            MediaError: If the file does not give one.
        """

    @abstractmethod
    def load(self, source: Path, rng: Generator) -> Tensor:
        """The tensor made from a compact form."""

    @property
    def fingerprint(self) -> str:
        """Differs where the compact form does."""
        named = {"recipe": type(self).__qualname__, "version": FORMAT_VERSION} | self.stored()
        text = json.dumps(named, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]


class AudioRecipe(MediaRecipe):
    """A waveform of a fixed length, kept as 16-bit samples.

    Args:
        rate: Samples per second; other rates are resampled.
        seconds: Length of what is loaded.
        fill: What follows a shorter sound: ``"tile"`` the sound again, ``"zeros"`` silence.
        crop: Which part of a longer sound is loaded: ``"start"`` the first, ``"random"`` any in
            training and the middle in evaluation.

    Shape:
        - output: [S] float32, full scale is 1; S = round(seconds * rate)

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> AudioRecipe(rate=16000, seconds=3).blank().shape
        torch.Size([48000])
    """

    suffix: ClassVar[str] = ".npy"

    def __init__(
        self,
        rate: int = 16_000,
        seconds: float = 3.0,
        fill: Literal["tile", "zeros"] = "tile",
        crop: Literal["start", "random"] = "start",
    ) -> None:
        check_range("rate", rate, 1)
        check_range("seconds", seconds, 1 / rate)
        if fill not in ("tile", "zeros"):
            raise ValueError(f"fill={fill!r} must be 'tile' or 'zeros'")
        if crop not in ("start", "random"):
            raise ValueError(f"crop={crop!r} must be 'start' or 'random'")
        self.rate = rate
        self.samples = round(seconds * rate)
        self.fill = fill
        self.crop = crop

    def stored(self) -> dict[str, Any]:
        """The rate."""
        return {"rate": self.rate}

    def encode(self, path: Path, start: float | None, duration: float | None) -> bytes:
        """The whole segment as int16, which leaves 16-bit files of that rate as they are."""
        sound = read_audio(path, self.rate, start, duration)
        file = io.BytesIO()
        np.save(file, np.clip(np.rint(sound * 32768), -32768, 32767).astype("<i2"))
        return file.getvalue()

    def load(self, source: Path, rng: Generator) -> Tensor:
        """A waveform."""
        sound = np.load(source, allow_pickle=False)
        rest = len(sound) - self.samples
        if rest > 0:
            first = 0
            if self.crop == "random":
                first = rest // 2 if rng is None else int(rng.integers(rest + 1))
            sound = sound[first : first + self.samples]
        elif self.fill == "tile":
            sound = np.resize(sound, self.samples)
        else:
            sound = np.pad(sound, (0, -rest))
        return torch.from_numpy(sound.astype(np.float32) / 32768)

    def blank(self) -> Tensor:
        """Silence."""
        return torch.zeros(self.samples)


class ImageRecipe(MediaRecipe):
    """A square picture, kept as JPEG.

    In training it is a random part of the stored picture (8 to 100 % of its area, ratio of the
    sides 3/4 to 4/3), mirrored half of the time; in evaluation the whole picture, squeezed.

    Args:
        size: Side of what is loaded, pixels.
        augment: Draw a part and mirror it in training.
        bound: The shorter side of a stored picture, pixels; smaller ones are kept as they are.
        quality: JPEG's, from 1 to 95.

    Shape:
        - output: [3, H, W] float32 from 0 to 1, H = W = size

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> ImageRecipe(size=64).blank().shape
        torch.Size([3, 64, 64])
    """

    suffix: ClassVar[str] = ".jpg"

    def __init__(
        self, size: int = 224, augment: bool = True, bound: int = 256, quality: int = 95
    ) -> None:
        check_range("size", size, 1)
        check_range("bound", bound, 1)
        check_range("quality", quality, 1, 95)
        self.size = size
        self.augment = augment
        self.bound = bound
        self.quality = quality

    def stored(self) -> dict[str, Any]:
        """Size and quality of the stored pictures."""
        return {"bound": self.bound, "quality": self.quality}

    def encode(self, path: Path, start: float | None, duration: float | None) -> bytes:
        """The picture; it has no segments."""
        image = read_image(path)
        if image.mode.startswith(("I", "F")):
            # Pillow would clip them at 255.
            raise MediaError("undecodable", f"values of mode {image.mode}, not 8 bits per channel")
        return _jpeg(image, self.bound, self.quality)

    def load(self, source: Path, rng: Generator) -> Tensor:
        """A picture."""
        return _views([source.read_bytes()], self.size, rng if self.augment else None)[0]

    def blank(self) -> Tensor:
        """Black."""
        return torch.zeros(3, self.size, self.size)


class FramesRecipe(MediaRecipe):
    """Some frames of a clip as square pictures, kept as JPEG files in one uncompressed ZIP file.

    The stored frames are cut into ``count`` equal parts, in time; one of each is loaded, any in
    training and the middle one in evaluation. All get the same view: see :class:`ImageRecipe`.

    Args:
        fps: Frames to store per second, the first at 0 s; None: ``least`` frames whatever the
            length.
        least: Store at least so many, spread over the clip, if it has them.
        count: T, the frames to load.
        size: Side of what is loaded, pixels.
        augment: Draw a part and mirror it in training.
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
        self.bound = bound
        self.quality = quality

    def stored(self) -> dict[str, Any]:
        """Which frames are stored, and their size and quality."""
        frames = {"fps": self.fps, "least": self.least}
        return frames | {"bound": self.bound, "quality": self.quality}

    def encode(self, path: Path, start: float | None, duration: float | None) -> bytes:
        """Frames of the segment, named by their number."""
        if self.fps is None:
            frames = read_frames(path, count=self.least, start=start, duration=duration)
        else:
            frames = read_frames(path, self.fps, None, self.least, start, duration)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for number, frame in enumerate(frames, 1):
                # A ZipInfo by itself is dated 1980: no clock gets into the bytes.
                name = zipfile.ZipInfo(f"{number:05d}.jpg")
                archive.writestr(name, _jpeg(frame, self.bound, self.quality))
        return content.getvalue()

    def load(self, source: Path, rng: Generator) -> Tensor:
        """One frame of each part."""
        with zipfile.ZipFile(io.BytesIO(source.read_bytes())) as archive:
            names = archive.namelist()
            chosen = [names[i] for i in choose_frames(len(names), self.count, rng)]
            pictures = [archive.read(name) for name in chosen]
        return _views(pictures, self.size, rng if self.augment else None)

    def blank(self) -> Tensor:
        """Black."""
        return torch.zeros(self.count, 3, self.size, self.size)


class TextRecipe(Recipe):
    """A text, as it stands in the table; a transform of the batch makes tokens of it.

    Example:
        >>> TextRecipe().load("a dog", rng=None)
        'a dog'
    """

    def load(self, source: str, rng: Generator) -> str:
        """The text."""
        return source

    def blank(self) -> str:
        """The empty text."""
        return ""


def choose_frames(total: int, count: int, rng: Generator) -> list[int]:
    """A frame of each of ``count`` equal parts of a clip: any, or without ``rng`` the middle one.

    Example:
        >>> choose_frames(total=9, count=3, rng=None)
        [1, 4, 7]
    """
    places = np.full(count, 0.5) if rng is None else rng.random(count)
    chosen = ((part + place) * total / count for part, place in enumerate(places))
    return [min(int(place), total - 1) for place in chosen]  # rounding may reach the end


def _jpeg(image: Image.Image, bound: int, quality: int) -> bytes:
    image = image.convert("RGB")
    scale = bound / min(image.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return content.getvalue()


def _views(pictures: Sequence[bytes], size: int, rng: Generator) -> Tensor:
    """Equal views of JPEG pictures of one size."""
    views = np.empty((len(pictures), size, size, 3), np.uint8)
    box, mirror = None, False
    for view, content in zip(views, pictures, strict=True):
        with Image.open(io.BytesIO(content)) as image:
            if rng is not None and box is None:
                box, mirror = _part(*image.size, rng), bool(rng.random() < 0.5)
            view[:] = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box))
    if mirror:
        views = views[:, :, ::-1]
    channels_first = torch.from_numpy(np.ascontiguousarray(views.transpose(0, 3, 1, 2)))
    return channels_first.float() / 255


def _part(width: int, height: int, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a random part, as torchvision's RandomResizedCrop draws it."""
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if w <= width and h <= height:
            left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return left, top, left + w, top + h
    # Hardly ever, in a very long picture.
    return 0, 0, width, height
