"""Base of the recipes for images of a scene whose pixels correspond."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe.base import Generator, MediaRecipe
from fdkd_lightning.data.preparation.recipe.view import View
from fdkd_lightning.ops.checks import check_count, check_flags, check_range


class SceneRecipe(MediaRecipe):
    """Base of the recipes for images of a scene, which share their random views.

    In training the image is scaled by one of ``scales``, cropped at a random position, and flipped
    horizontally half of the time. An image smaller than the crop is centred in it, and the rest is
    filled. In evaluation the stored image is loaded as a whole. Recipes with equal arguments draw
    equal views from equal generators.

    Args:
        size: H and W of the stored images, pixels.
        scales: Scale factors, of which one is drawn for each view.
        crop: H and W of the training views, pixels; None: ``size``.
        mirror: Flip half of the training views horizontally.
    """

    def __init__(
        self,
        size: tuple[int, int],
        scales: tuple[float, ...],
        crop: tuple[int, int] | None,
        mirror: bool,
    ) -> None:
        for name, sides in (("size", size), ("crop", size if crop is None else crop)):
            if not isinstance(sides, tuple | list) or len(sides) != 2:
                raise ValueError(f"{name}={sides!r} must be height and width, such as [480, 640]")
            for side in sides:
                check_count(name, side, example=480)
        check_flags(mirror=mirror)
        if not isinstance(scales, tuple | list):
            raise TypeError(f"scales={scales!r} must be a list of numbers, such as [1.0]")
        if not scales:
            raise ValueError("scales=[] must hold at least one number")
        for scale in scales:
            check_range("scales", scale, above=0)
        self.size = (size[0], size[1])
        self.scales = tuple(scales)
        self.crop = None if crop is None else (crop[0], crop[1])
        self.mirror = mirror

    @abstractmethod
    def blank(self, rng: Generator = None) -> Any:
        """Return the fill value, of the size of a loaded view."""

    @property
    def view_arguments(self) -> dict[str, Any]:
        """Name -> value of the arguments that must agree between the recipes of a scene."""
        return {
            "size": self.size,
            "scales": self.scales,
            "crop": self.crop,
            "mirror": self.mirror,
        }

    def view_size(self, rng: Generator) -> tuple[int, int]:
        """Return H and W of a view in training, or in evaluation if ``rng`` is None."""
        return self.size if rng is None else self.crop or self.size

    def draw(self, rng: Generator) -> View:
        """Draw a view, or return the view of the whole image if ``rng`` is None."""
        size = self.view_size(rng)
        if rng is None:
            return View(self.size, 0, 0, *size)
        scale = self.scales[int(rng.integers(len(self.scales)))]
        scaled = (max(1, round(self.size[0] * scale)), max(1, round(self.size[1] * scale)))
        # The number of draws is constant, so that all recipes of a scene stay in step.
        offsets = [
            int(rng.integers(abs(whole - part) + 1))
            for whole, part in zip(scaled, size, strict=True)
        ]
        top, left = (
            offset if whole >= part else (whole - part) // 2
            for whole, part, offset in zip(scaled, size, offsets, strict=True)
        )
        mirrored = bool(rng.random() < 0.5)
        return View(scaled, top, left, *size, self.mirror and mirrored)

    def check_size(self, shape: Sequence[int]) -> None:
        """Raise :class:`MediaError` if a decoded image does not have the size of the recipe."""
        if tuple(shape[:2]) != self.size:
            actual, expected = (" x ".join(map(str, sides)) for sides in (shape[:2], self.size))
            raise MediaError(
                "undecodable",
                f"{actual} pixels (height x width), but the size of the recipe is {expected}",
            )
