"""Which class each pixel of a scene is of."""

import io
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fdkd_lightning.data.preparation.matlab import read_member
from fdkd_lightning.data.preparation.media import MediaError, read_image
from fdkd_lightning.data.preparation.recipe.base import WHOLE, Generator, Part
from fdkd_lightning.data.preparation.recipe.scene import SceneRecipe
from fdkd_lightning.types import IGNORE_INDEX

VOID = 255
"""What stands for void in the compact form, whatever the source has."""


class LabelMapRecipe(SceneRecipe):
    """A map of classes, kept as 8-bit PNG. Void is -100, and so is what lies beyond the picture.

    Views are drawn as :class:`SceneRecipe` says, of the nearest pixel.

    Args:
        classes: The class of each value in the source, from 0 on; -100 is void.
        size: H and W of the pictures. A smaller map lies in the middle of void, for there are sets
            whose annotators left out the margin.
        scales: One is drawn for each view; the default is CMX's.
        crop: H and W of what is loaded in training; None: ``size``, as CMX does.
        mirror: Mirror left and right half of the time.

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
        wrong = [c for c in classes if not (0 <= c < VOID or c == IGNORE_INDEX)]
        if wrong or not classes:
            raise ValueError(
                f"classes holds {wrong[0] if wrong else 'nothing'}: give a class from 0 to "
                f"{VOID - 1}, or -100, for each value of the source"
            )
        self.classes = tuple(classes)

    def stored(self) -> dict[str, Any]:
        """Size of the stored maps, and what their source's values mean."""
        return {"size": self.size, "classes": self.classes}

    def encode(self, path: Path, part: Part = WHOLE) -> bytes:
        """The label map of a file, or of an array in a MATLAB file."""
        if part.member:
            values = read_member(path, part.member)
        else:
            image = read_image(path)
            if image.mode not in ("L", "P", "I", "I;16"):
                raise MediaError("undecodable", f"values of mode {image.mode}, no numbers")
            values = np.asarray(image)
        if values.ndim != 2 or not np.issubdtype(values.dtype, np.integer):
            raise MediaError("undecodable", f"{values.dtype} {values.shape}, no label map")
        if values.min() < 0 or values.max() >= len(self.classes):
            raise MediaError(
                "undecodable",
                f"values from {values.min()} to {values.max()}, where the source is to have 0 to "
                f"{len(self.classes) - 1}",
            )
        table = np.array([VOID if c == IGNORE_INDEX else c for c in self.classes], np.uint8)
        content = io.BytesIO()
        Image.fromarray(self._centred(table[values])).save(content, "PNG")
        return content.getvalue()

    def load(self, source: Path, rng: Generator) -> Tensor:
        """A view."""
        with Image.open(source) as image:
            numbers = self.draw(rng).nearest(np.asarray(image), VOID).astype(np.int64)
        numbers[numbers == VOID] = IGNORE_INDEX
        return torch.from_numpy(numbers)

    def blank(self, rng: Generator = None) -> Tensor:
        """Void."""
        return torch.full(self.seen(rng), IGNORE_INDEX)

    def _centred(self, numbers: Any) -> Any:
        margins = [whole - part for whole, part in zip(self.size, numbers.shape, strict=True)]
        if min(margins) < 0:
            self.check_size(numbers.shape)
        around = [(margin // 2, margin - margin // 2) for margin in margins]
        return np.pad(numbers, around, constant_values=VOID)
