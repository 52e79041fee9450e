from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fdkd_lightning.data.preparation.recipe import MediaRecipe, Part
from fdkd_lightning.data.preparation.recipe.base import WHOLE


@pytest.fixture
def store() -> Callable[..., Path]:
    """Writes the compact form of a file beside it."""

    def write(recipe: MediaRecipe, path: Path, part: Part = WHOLE) -> Path:
        compact_form = path.with_name(f"{path.name}{recipe.suffix}")
        compact_form.write_bytes(recipe.encode(path, part))
        return compact_form

    return write


@pytest.fixture
def write_gradient() -> Callable[..., Path]:
    """An image whose red is the column and whose green is the row, from 0 to 255."""

    def write(path: Path, size: tuple[int, int] = (64, 48)) -> Path:
        width, height = size
        x = np.linspace(0, 255, width)[None].repeat(height, 0)
        y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
        Image.fromarray(np.stack([x, y, 0 * x], 2).astype(np.uint8)).save(path)
        return path

    return write
