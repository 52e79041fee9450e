"""Recipe of depth maps."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdkd_lightning.data.preparation.array_file import read_array
from fdkd_lightning.data.preparation.image_file import read_image
from fdkd_lightning.data.preparation.matlab import read_member
from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe.base import WHOLE, Generator, Part
from fdkd_lightning.data.preparation.recipe.scene import SceneRecipe
from fdkd_lightning.ops.checks import check_range

if TYPE_CHECKING:
    from torch import Tensor

FARTHEST = 65.535
"""Largest distance in metres that 16-bit millimetres hold."""


class DepthRecipe(SceneRecipe):
    """A depth map, stored as 16-bit PNG of millimetres: up to 65.535 m, to half a millimetre.

    Views are those of :class:`SceneRecipe`, by nearest neighbour, as interpolation at an edge would
    invent distances. Scaling the image does not change the distances. Pixels without a measurement,
    and pixels beyond the image, are 0.

    Args:
        size: H and W of the stored maps, pixels.
        scales: Scale factors, of which one is drawn for each training view; the default is that of
            CMX.
        crop: H and W of the training views, pixels; None: ``size``, as in CMX.
        mirror: Flip half of the training views horizontally.
        unit: Metres of one step of an integer source, such as a 16-bit PNG. Floating-point sources
            (also NPY files) are in metres.

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
        check_range("unit", unit, above=0)
        self.unit = unit

    def stored(self) -> dict[str, Any]:
        """Return the size of the stored maps and the unit of their source."""
        return {"size": self.size, "unit": self.unit}

    def encode(self, path: Path, part: Part = WHOLE) -> bytes:
        """Decode the depth map of an image file, or of an array in a MATLAB file."""
        metres = self._metres(path, part.member)
        self.check_size(metres.shape)
        farthest = float(metres.max())
        if farthest > FARTHEST:
            raise MediaError(
                "undecodable", f"{farthest:.3f} m exceeds the largest distance, {FARTHEST} m"
            )
        content = io.BytesIO()
        Image.fromarray(np.rint(metres * 1000).astype(np.uint16)).save(content, "PNG")
        return content.getvalue()

    def load(self, source: Path, rng: Generator) -> "Tensor":
        """Load a view of the map."""
        import torch

        with Image.open(source) as image:
            millimetres = self.draw(rng).nearest(np.asarray(image), 0)
        return torch.from_numpy(millimetres.astype(np.float32) / 1000)[None]

    def blank(self, rng: Generator = None) -> "Tensor":
        """Return a map without any measurement."""
        import torch

        return torch.zeros(1, *self.view_size(rng))

    def _metres(self, path: Path, member: str) -> NDArray[np.float64]:
        if member:
            values = read_member(path, member)
        elif path.suffix == ".npy":
            values = read_array(path)
        else:
            image = read_image(path)
            if not image.mode.startswith(("I", "F")):
                raise MediaError(
                    "undecodable", f"values of mode {image.mode}: 8 bits cannot hold a distance"
                )
            values = np.asarray(image)
        if values.ndim != 2:
            raise MediaError("undecodable", f"an array of shape {values.shape} is not a depth map")
        unit = self.unit if np.issubdtype(values.dtype, np.integer) else 1.0
        metres = values.astype(np.float64) * unit
        # Sensors mark missing measurements as NaN, infinite, negative or 0.
        return np.where(np.isfinite(metres) & (metres > 0), metres, 0.0)
