"""How far away a scene is."""

import io
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fdkd_lightning.data.preparation.matlab import read_member
from fdkd_lightning.data.preparation.media import MediaError, read_image
from fdkd_lightning.data.preparation.recipe.base import WHOLE, Generator, Part
from fdkd_lightning.data.preparation.recipe.scene import SceneRecipe

FARTHEST = 65.535
"""Metres that 16 bits of millimetres reach."""


class DepthRecipe(SceneRecipe):
    """A depth map, kept as 16-bit PNG of millimetres: up to 65.535 m, to half a millimetre.

    Views are drawn as :class:`SceneRecipe` says, of the nearest pixel: in between lie distances
    where nothing is. The distances stay as they are where the picture is scaled. Holes, and what
    lies beyond the picture, are 0.

    Args:
        size: H and W of the maps.
        scales: One is drawn for each view; the default is CMX's.
        crop: H and W of what is loaded in training; None: ``size``, as CMX does.
        mirror: Mirror left and right half of the time.
        unit: Metres of one step of a source that holds whole numbers, such as a 16-bit PNG;
            fractions are metres.

    Shape:
        - output: [1, H, W] float32, metres

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> DepthRecipe().blank().shape
        torch.Size([1, 480, 640])
    """

    suffix: ClassVar[str] = ".png"

    def __init__(
        self,
        size: tuple[int, int] = (480, 640),
        scales: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
        crop: tuple[int, int] | None = None,
        mirror: bool = True,
        unit: float = 0.001,
    ) -> None:
        super().__init__(size, scales, crop, mirror)
        if not unit > 0:
            raise ValueError(f"unit={unit} must be above 0: the metres of one step")
        self.unit = unit

    def stored(self) -> dict[str, Any]:
        """Size of the stored maps, and the unit of their source."""
        return {"size": self.size, "unit": self.unit}

    def encode(self, path: Path, part: Part = WHOLE) -> bytes:
        """The depth map of a file, or of an array in a MATLAB file."""
        metres = self._metres(path, part.member)
        self.check_size(metres.shape)
        farthest = float(metres.max())
        if farthest > FARTHEST:
            raise MediaError("undecodable", f"{farthest:.3f} m is beyond the {FARTHEST} m kept")
        content = io.BytesIO()
        Image.fromarray(np.rint(metres * 1000).astype(np.uint16)).save(content, "PNG")
        return content.getvalue()

    def load(self, source: Path, rng: Generator) -> Tensor:
        """A view."""
        with Image.open(source) as image:
            millimetres = self.draw(rng).nearest(np.asarray(image), 0)
        return torch.from_numpy(millimetres.astype(np.float32) / 1000)[None]

    def blank(self, rng: Generator = None) -> Tensor:
        """One hole."""
        return torch.zeros(1, *self.seen(rng))

    def _metres(self, path: Path, member: str) -> NDArray[np.float64]:
        if member:
            values = read_member(path, member)
        else:
            image = read_image(path)
            if not image.mode.startswith(("I", "F")):
                raise MediaError(
                    "undecodable", f"values of mode {image.mode}: 8 bits cannot hold a distance"
                )
            values = np.asarray(image)
        if values.ndim != 2:
            raise MediaError("undecodable", f"an array of shape {values.shape}, no depth map")
        unit = self.unit if np.issubdtype(values.dtype, np.integer) else 1.0
        metres = values.astype(np.float64) * unit
        # Sensors that see nothing say so in several ways.
        return np.where(np.isfinite(metres) & (metres > 0), metres, 0.0)
