"""Pictures whose pixels belong together: one view for colour, depth and labels."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdkd_lightning.data.preparation.media import MediaError
from fdkd_lightning.data.preparation.recipe.base import Generator, MediaRecipe
from fdkd_lightning.ops.checks import check_range


class View(NamedTuple):
    """What is seen of a picture of a scene: it is scaled, then cut out, then perhaps mirrored.

    Shape:
        - scaled: H and W of the whole picture once it is scaled
        - top, left: where in it the part begins; below 0 there is nothing
        - height, width: of the part, which may reach beyond the picture
    """

    scaled: tuple[int, int]
    top: int
    left: int
    height: int
    width: int
    mirror: bool = False

    def inside(self) -> tuple[slice, slice]:
        """The rows and columns of the part where the picture is."""
        y, x = max(-self.top, 0), max(-self.left, 0)
        bottom = min(self.height, self.scaled[0] - self.top)
        right = min(self.width, self.scaled[1] - self.left)
        return slice(y, bottom), slice(x, right)

    def nearest(self, values: NDArray[Any], fill: float) -> NDArray[Any]:
        """[H, W] -> [height, width] of nothing but the values that are there, and ``fill``."""
        rows, columns = self.inside()
        # The middles of pixels meet, as they do where Pillow interpolates.
        y = np.arange(rows.start, rows.stop) + self.top + 0.5
        x = np.arange(columns.start, columns.stop) + self.left + 0.5
        y = (y * values.shape[0] / self.scaled[0]).astype(np.intp)
        x = (x * values.shape[1] / self.scaled[1]).astype(np.intp)
        part = np.full((self.height, self.width), fill, values.dtype)
        part[rows, columns] = values[np.ix_(y, x)]
        return part[:, ::-1] if self.mirror else part

    def bilinear(self, picture: Image.Image, fill: Sequence[float]) -> NDArray[np.uint8]:
        """An RGB picture's part, [height, width, 3], interpolated; ``fill`` is from 0 to 1."""
        rows, columns = self.inside()
        down, across = picture.height / self.scaled[0], picture.width / self.scaled[1]
        size = (columns.stop - columns.start, rows.stop - rows.start)
        left, top = columns.start + self.left, rows.start + self.top
        box = (left * across, top * down, (left + size[0]) * across, (top + size[1]) * down)
        part = np.empty((self.height, self.width, 3), np.uint8)
        part[:] = np.rint(255 * np.asarray(fill))
        # Rounding may leave the box outside by a hair, which Pillow refuses.
        box = (*box[:2], min(box[2], picture.width), min(box[3], picture.height))
        part[rows, columns] = np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box))
        return part[:, ::-1] if self.mirror else part


class SceneRecipe(MediaRecipe):
    """What the recipes of one scene share: how it is seen in training.

    The whole picture is scaled by one of ``scales``, a random part of ``crop`` pixels cut out, and
    mirrored half of the time. What reaches beyond a picture that is scaled down is filled, and it
    lies in the middle. In evaluation it is the whole picture as it is stored. Recipes whose
    arguments here agree see the same where they are given the same generator.

    Args:
        size: H and W of the pictures.
        scales: One is drawn for each view.
        crop: H and W of what is loaded in training; None: ``size``.
        mirror: Mirror left and right half of the time.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scales: tuple[float, ...],
        crop: tuple[int, int] | None,
        mirror: bool,
    ) -> None:
        for name, sides in (("size", size), ("crop", crop or size)):
            for side in sides:
                check_range(name, side, 1)
        if not scales or min(scales) <= 0:
            raise ValueError(f"scales={list(scales)} must be one or more numbers above 0")
        self.size = (size[0], size[1])
        self.scales = tuple(scales)
        self.crop = None if crop is None else (crop[0], crop[1])
        self.mirror = mirror

    @abstractmethod
    def blank(self, rng: Generator = None) -> Any:
        """Nothing, of the size that is loaded."""

    @property
    def view_arguments(self) -> dict[str, Any]:
        """Name -> value of what must agree between the recipes of a scene."""
        return {
            "size": self.size,
            "scales": self.scales,
            "crop": self.crop,
            "mirror": self.mirror,
        }

    @property
    def loaded(self) -> tuple[int, int]:
        """H and W of what is loaded in training."""
        return self.crop or self.size

    def seen(self, rng: Generator) -> tuple[int, int]:
        """H and W of what is loaded with this generator, or without one in evaluation."""
        return self.size if rng is None else self.loaded

    def draw(self, rng: Generator) -> View:
        """A view; without ``rng`` all."""
        if rng is None:
            return View(self.size, 0, 0, *self.size)
        scale = self.scales[int(rng.integers(len(self.scales)))]
        scaled = (max(1, round(self.size[0] * scale)), max(1, round(self.size[1] * scale)))
        # Always the same number of draws, so that no recipe falls out of step.
        positions = [
            int(rng.integers(abs(w - p) + 1)) for w, p in zip(scaled, self.loaded, strict=True)
        ]
        top, left = (
            place if whole >= part else (whole - part) // 2
            for whole, part, place in zip(scaled, self.loaded, positions, strict=True)
        )
        mirrored = bool(rng.random() < 0.5)
        return View(scaled, top, left, *self.loaded, self.mirror and mirrored)

    def check_size(self, shape: Sequence[int]) -> None:
        """Raise if what was decoded has another size."""
        if tuple(shape[:2]) != self.size:
            have, want = (" x ".join(map(str, sides)) for sides in (shape[:2], self.size))
            raise MediaError(
                "undecodable", f"{have} pixels (height x width), where the recipe's size is {want}"
            )
