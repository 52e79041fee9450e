"""Recipe of images, and functions shared with the recipe of frames."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from fdkd_lightning.data.preparation.display import WHITE, check_background, flatten
from fdkd_lightning.data.preparation.image_file import read_image
from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe.base import WHOLE, Generator, MediaRecipe, Part
from fdkd_lightning.ops.checks import check_count, check_flags

if TYPE_CHECKING:
    from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of each channel over ImageNet, where white is 1, for the normalization of images."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of each channel over ImageNet, where white is 1."""

LONGEST_SIDE = 65_500
"""Longest side of a JPEG, pixels."""


class ImageRecipe(MediaRecipe):
    """A square image, stored as JPEG.

    In training a random part of the stored image is loaded (8 to 100 % of its area, aspect ratio
    3/4 to 4/3), flipped horizontally half of the time. In evaluation the whole image is resized to
    the square.

    Args:
        size: Side of the loaded image, pixels.
        augment: Crop and flip at random in training.
        bound: Length of the shorter side of a stored image, pixels; smaller images keep their size.
        quality: Quality of the JPEG, from 1 to 95.
        background: Colour behind transparent images: red, green and blue from 0 to 255.

    Shape:
        - output: [3, H, W] float32 from 0 to 1, H = W = size

    Raises:
        TypeError: If an argument has another type.
        ValueError: If an argument is out of range.

    Example:
        >>> ImageRecipe(size=64).blank().shape
        torch.Size([3, 64, 64])
    """

    suffix: ClassVar[str] = ".jpg"

    def __init__(
        self,
        size: int = 224,
        augment: bool = True,
        bound: int = 256,
        quality: int = 95,
        background: tuple[int, int, int] = WHITE,
    ) -> None:
        check_count("size", size, example=224)
        check_flags(augment=augment)
        check_count("bound", bound, example=256)
        check_count("quality", quality, 1, 95, example=95)
        self.size = size
        self.augment = augment
        self.bound = bound
        self.quality = quality
        self.background = check_background(background)

    def stored(self) -> dict[str, Any]:
        """Return size, quality and background of the stored images."""
        return {"bound": self.bound, "quality": self.quality, "background": self.background}

    def encode(self, path: Path, part: Part = WHOLE) -> bytes:
        """Decode the whole image; ``part`` is ignored."""
        return to_jpeg(flatten(read_image(path), self.background), self.bound, self.quality)

    def load(self, source: Path, rng: Generator) -> "Tensor":
        """Load a view of the image."""
        return load_views([source.read_bytes()], self.size, rng if self.augment else None)[0]

    def blank(self, rng: Generator = None) -> "Tensor":
        """Return a black image."""
        import torch

        return torch.zeros(3, self.size, self.size)


def to_jpeg(image: Image.Image, bound: int, quality: int) -> bytes:
    """Encode an image as JPEG, with a shorter side of at most ``bound`` pixels."""
    scale = bound / min(image.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    if max(image.size) > LONGEST_SIDE:
        raise MediaError(
            "too-large",
            f"{image.width} x {image.height} pixels after scaling: a JPEG has sides of at most "
            f"{LONGEST_SIDE:,}; cut the image",
        )
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return content.getvalue()


def load_views(
    images: Sequence[bytes], size: int, rng: Generator, per_image: bool = False
) -> "Tensor":
    """Decode JPEG images of equal size and load a view of each.

    Args:
        images: Contents of the JPEG files.
        size: Side of the views, pixels.
        rng: Generator of a random crop and flip; None: the whole images.
        per_image: Draw for each image; else all images get the same crop and flip.

    Shape:
        - output: [len(images), 3, size, size] float32 from 0 to 1
    """
    import torch

    views = np.empty((len(images), size, size, 3), np.uint8)
    box, mirror = None, False
    for view, content in zip(views, images, strict=True):
        with Image.open(io.BytesIO(content)) as image:
            if rng is not None and (per_image or box is None):
                box, mirror = _random_box(*image.size, rng), bool(rng.random() < 0.5)
            pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box))
            view[:] = pixels[:, ::-1] if mirror else pixels
    channels_first = torch.from_numpy(np.ascontiguousarray(views.transpose(0, 3, 1, 2)))
    return channels_first.float() / 255


def _random_box(
    width: int, height: int, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Draw left, top, right and bottom of a crop, distributed as in RandomResizedCrop.

    The class of torchvision draws from the generator of torch, not from that of the sample.
    """
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if w <= width and h <= height:
            left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return left, top, left + w, top + h
    # Reached only by images with an extreme aspect ratio.
    return 0, 0, width, height
