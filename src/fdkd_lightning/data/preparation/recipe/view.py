"""Views of images whose pixels correspond, such as colour, depth and labels of one scene."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class View(NamedTuple):
    """A scaled, cropped and perhaps flipped view of an image.

    The image is first scaled, then cropped, then flipped. The crop may reach beyond the image.

    Args:
        scaled: H and W of the whole image after scaling, pixels.
        top: First row of the crop in the scaled image; negative if it starts above.
        left: First column of the crop in the scaled image; negative if it starts to the left.
        height: Height of the crop, pixels.
        width: Width of the crop, pixels.
        mirror: Whether the crop is flipped horizontally.
    """

    scaled: tuple[int, int]
    top: int
    left: int
    height: int
    width: int
    mirror: bool = False

    def inside(self) -> tuple[slice, slice]:
        """Return the rows and columns of the crop that lie within the image."""
        y, x = max(-self.top, 0), max(-self.left, 0)
        bottom = min(self.height, self.scaled[0] - self.top)
        right = min(self.width, self.scaled[1] - self.left)
        return slice(y, bottom), slice(x, right)

    def nearest(self, values: NDArray[Any], fill: float) -> NDArray[Any]:
        """Apply the view to a map of values, by nearest neighbour.

        Shape:
            - values: [H, W, ...]
            - output: [height, width, ...]
        """
        rows, columns = self.inside()
        # Align pixel centres, as Pillow does when it interpolates.
        y = np.arange(rows.start, rows.stop) + self.top + 0.5
        x = np.arange(columns.start, columns.stop) + self.left + 0.5
        y = (y * values.shape[0] / self.scaled[0]).astype(np.intp)
        x = (x * values.shape[1] / self.scaled[1]).astype(np.intp)
        crop = np.full((self.height, self.width, *values.shape[2:]), fill, values.dtype)
        crop[rows, columns] = values[np.ix_(y, x)]
        return crop[:, ::-1] if self.mirror else crop

    def boxes(self, boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
        """Apply the view to boxes; those of which less than a pixel is left in height or width go.

        Args:
            boxes: Left, top, right and bottom in pixels, and further columns, which stay.
            size: H and W of the image before scaling.

        Shape:
            - boxes: [M, 4 + ...]
            - output: [M', 4 + ...], M' <= M
        """
        moved = boxes.copy()
        for axis, first, length in ((1, self.left, self.width), (0, self.top, self.height)):
            columns = [1 - axis, 3 - axis]
            scaled = boxes[:, columns] * (self.scaled[axis] / size[axis]) - first
            moved[:, columns] = scaled.clip(0, length)
        if self.mirror:
            moved[:, [0, 2]] = self.width - moved[:, [2, 0]]
        kept: NDArray[np.float32] = moved[(moved[:, 2:4] - moved[:, :2] >= 1).all(1)]
        return kept

    def bilinear(self, image: Image.Image, fill: Sequence[float]) -> NDArray[np.uint8]:
        """Apply the view to an RGB image, by bilinear interpolation.

        Args:
            image: The image.
            fill: Colour beyond the image, three numbers from 0 to 1.

        Shape:
            - output: [height, width, 3]
        """
        rows, columns = self.inside()
        down, across = image.height / self.scaled[0], image.width / self.scaled[1]
        size = (columns.stop - columns.start, rows.stop - rows.start)
        left, top = columns.start + self.left, rows.start + self.top
        box = (left * across, top * down, (left + size[0]) * across, (top + size[1]) * down)
        crop = np.empty((self.height, self.width, 3), np.uint8)
        crop[:] = np.rint(255 * np.asarray(fill))
        # By rounding the box may exceed the image slightly, which Pillow does not accept.
        box = (*box[:2], min(box[2], image.width), min(box[3], image.height))
        crop[rows, columns] = np.asarray(image.resize(size, Image.Resampling.BILINEAR, box))
        return crop[:, ::-1] if self.mirror else crop
