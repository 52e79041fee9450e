"""Recipe of arrays that were extracted before, such as spectrograms."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fdkd_lightning.data.preparation.array_file import read_array
from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe.base import WHOLE, Generator, MediaRecipe, Part
from fdkd_lightning.ops.checks import check_count


class ArrayRecipe(MediaRecipe):
    """An array of numbers, such as an extracted spectrogram or feature, stored as float32.

    Sources are ``.npy`` files, and pickles that hold nothing but an array: what a pickle names is
    never called. Set the ``transforms`` of the modality to ``torch.nn.Identity``.

    Args:
        shape: Shape of the loaded arrays. A source may lack axes of length 1.

    Shape:
        - output: ``shape``, float32

    Raises:
        ValueError: If the shape is empty or a side is not positive.

    Example:
        >>> ArrayRecipe(shape=(1, 257, 1004)).blank().shape
        torch.Size([1, 257, 1004])
    """

    suffix: ClassVar[str] = ".npy"

    def __init__(self, shape: Sequence[int] = (1, 257, 1004)) -> None:
        if not shape:
            raise ValueError("shape=() must hold at least one number")
        for side in shape:
            check_count("shape", side)
        self.shape = tuple(shape)

    def stored(self) -> dict[str, Any]:
        """Return the shape."""
        return {"shape": self.shape}

    def encode(self, path: Path, part: Part = WHOLE) -> bytes:
        """Read the array; a segment of it cannot be read."""
        if part.start is not None or part.duration is not None:
            raise MediaError("undecodable", "start and duration do not apply to an array")
        array = read_array(path)
        if [n for n in array.shape if n > 1] != [n for n in self.shape if n > 1] or not array.size:
            raise MediaError("undecodable", f"shape {array.shape}, but the recipe has {self.shape}")
        values = array.reshape(self.shape).astype(np.float32)
        if not np.isfinite(values).all():
            raise MediaError("undecodable", "some numbers are NaN, infinite or beyond float32")
        file = io.BytesIO()
        np.save(file, values)
        return file.getvalue()

    def load(self, source: Path, rng: Generator) -> Tensor:
        """Load the array."""
        return torch.from_numpy(np.load(source, allow_pickle=False))

    def blank(self, rng: Generator = None) -> Tensor:
        """Return zeros."""
        return torch.zeros(self.shape)
