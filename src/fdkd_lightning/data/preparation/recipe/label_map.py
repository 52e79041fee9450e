"""Recipe of label maps, which hold a class for each pixel."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from fdkd_lightning.data.preparation.image_file import read_image
from fdkd_lightning.data.preparation.matlab import read_member
from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe.base import WHOLE, Generator, Part
from fdkd_lightning.data.preparation.recipe.scene import SceneRecipe
from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.types import IGNORE_INDEX

if TYPE_CHECKING:
    from torch import Tensor

VOID = 255
"""Value of unlabelled (void) pixels in the compact form."""


class LabelMapRecipe(SceneRecipe):
    """A map of classes, stored as 8-bit PNG.

    Unlabelled (void) pixels and pixels beyond the image are -100. Views are those of
    :class:`SceneRecipe`, by nearest neighbour.

    Args:
        classes: Class of each value of the source, from 0 on; -100 is void.
        size: H and W of the stored maps, pixels. A smaller map is centred and surrounded by void:
            some data sets do not annotate the margin.
        scales: Scale factors, of which one is drawn for each training view; the default is that of
            CMX.
        crop: H and W of the training views, pixels; None: ``size``, as in CMX.
        mirror: Flip half of the training views horizontally.

    Shape:
        - output: [H, W] int64

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> LabelMapRecipe(classes=(-100, 0, 1), size=(2, 3)).blank()
        tensor([[-100, -100, -100],
                [-100, -100, -100]])
    """

    suffix: ClassVar[str] = ".png"

    def __init__(
        self,
        classes: tuple[int, ...],
        size: tuple[int, int] = (480, 640),
        scales: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
        crop: tuple[int, int] | None = None,
        mirror: bool = True,
    ) -> None:
        super().__init__(size, scales, crop, mirror)
        if not isinstance(classes, Sequence):
            raise TypeError(f"classes={classes!r:.60} must be a list of classes, as (-100, 0, 1)")
        for value in classes:
            check_count("classes", value, None, example=0)
        wrong = [c for c in classes if not (0 <= c < VOID or c == IGNORE_INDEX)]
        if wrong or not classes:
            raise ValueError(
                f"classes holds {wrong[0] if wrong else 'nothing'}: provide a class from 0 to "
                f"{VOID - 1}, or -100, for each value of the source"
            )
        self.classes = tuple(classes)

    def stored(self) -> dict[str, Any]:
        """Return the size of the stored maps and the classes of the source values."""
        return {"size": self.size, "classes": self.classes}

    def encode(self, path: Path, part: Part = WHOLE) -> bytes:
        """Decode the label map of an image file, or of an array in a MATLAB file."""
        if part.member:
            values = read_member(path, part.member)
        else:
            image = read_image(path)
            if image.mode not in ("L", "P", "I", "I;16"):
                raise MediaError("undecodable", f"values of mode {image.mode} are not integers")
            values = np.asarray(image)
        if values.ndim != 2 or not np.issubdtype(values.dtype, np.integer):
            raise MediaError("undecodable", f"{values.dtype} {values.shape} is not a label map")
        if values.min() < 0 or values.max() >= len(self.classes):
            raise MediaError(
                "undecodable",
                f"values from {values.min()} to {values.max()}, but classes covers 0 to "
                f"{len(self.classes) - 1}",
            )
        table = np.array([VOID if c == IGNORE_INDEX else c for c in self.classes], np.uint8)
        content = io.BytesIO()
        Image.fromarray(self._centred(table[values])).save(content, "PNG")
        return content.getvalue()

    def load(self, source: Path, rng: Generator) -> "Tensor":
        """Load a view of the map."""
        import torch

        with Image.open(source) as image:
            numbers = self.draw(rng).nearest(np.asarray(image), VOID).astype(np.int64)
        numbers[numbers == VOID] = IGNORE_INDEX
        return torch.from_numpy(numbers)

    def blank(self, rng: Generator = None) -> "Tensor":
        """Return a map of void."""
        import torch

        return torch.full(self.view_size(rng), IGNORE_INDEX)

    def _centred(self, numbers: Any) -> Any:
        margins = [whole - part for whole, part in zip(self.size, numbers.shape, strict=True)]
        if min(margins) < 0:
            self.check_size(numbers.shape)
        padding = [(margin // 2, margin - margin // 2) for margin in margins]
        return np.pad(numbers, padding, constant_values=VOID)
