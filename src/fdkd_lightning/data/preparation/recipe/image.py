"""Pictures, and what frames share with them."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fdkd_lightning.data.preparation.media import MediaError, read_image
from fdkd_lightning.data.preparation.recipe.base import WHOLE, Generator, MediaRecipe, Part
from fdkd_lightning.ops.checks import check_range

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of each channel over ImageNet, where white is 1; what pictures are normalised by."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation, likewise."""


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

    def encode(self, path: Path, part: Part = WHOLE) -> bytes:
        """The picture; it has no segments."""
        image = read_image(path)
        if image.mode.startswith(("I", "F")):
            # Pillow would clip them at 255.
            raise MediaError("undecodable", f"values of mode {image.mode}, not 8 bits per channel")
        return to_jpeg(image, self.bound, self.quality)

    def load(self, source: Path, rng: Generator) -> Tensor:
        """A picture."""
        return load_views([source.read_bytes()], self.size, rng if self.augment else None)[0]

    def blank(self, rng: Generator = None) -> Tensor:
        """Black."""
        return torch.zeros(3, self.size, self.size)


def to_jpeg(image: Image.Image, bound: int, quality: int) -> bytes:
    """A picture as JPEG, its shorter side of at most ``bound`` pixels."""
    image = image.convert("RGB")
    scale = bound / min(image.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return content.getvalue()


def load_views(pictures: Sequence[bytes], size: int, rng: Generator, apart: bool = False) -> Tensor:
    """JPEG pictures of one size, all seen alike unless ``apart``: [len(pictures), 3, H, W]."""
    views = np.empty((len(pictures), size, size, 3), np.uint8)
    box, mirror = None, False
    for view, content in zip(views, pictures, strict=True):
        with Image.open(io.BytesIO(content)) as image:
            if rng is not None and (apart or box is None):
                box, mirror = _part(*image.size, rng), bool(rng.random() < 0.5)
            pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box))
            view[:] = pixels[:, ::-1] if mirror else pixels
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
