"""Show an image as its file means it: upright, and in front of a background."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.ops.checks import check_range

WHITE = (255, 255, 255)
"""Default background of transparent images: that of the pages they were drawn for."""

ORIENTATION = 0x0112
"""EXIF tag of the orientation in which a camera stored its image."""

UPRIGHT: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Orientation of EXIF -> the step that turns the stored image upright."""

MATRICES: Mapping[tuple[int, int, int, int], Image.Transpose | None] = {
    (1, 0, 0, 1): None,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
}
"""a, b, c, d of a display matrix -> the same step; x' = a x + c y and y' = b x + d y, y down."""

STRIP = 256
"""Rows that are composited at once: whole photos would need three copies."""


def turn_upright(image: Image.Image) -> Image.Image:
    """Apply the orientation of the EXIF data; without a valid one return the image unchanged."""
    # ImageOps.exif_transpose would also write all other tags anew, and fail at damaged ones.
    try:
        with warnings.catch_warnings(action="ignore"):
            orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:
        # Pillow reports damaged tags by errors of any class; viewers show such images as stored.
        orientation = 1
    step = UPRIGHT.get(orientation)
    return image if step is None else image.transpose(step)


def step_of_matrix(matrix: bytes) -> Image.Transpose | None:
    """Return the step that a video's display matrix asks for; None if the frame is upright.

    The matrix is nine 32-bit integers in the order of FFmpeg.

    Raises:
        MediaError: If the matrix turns by another angle than a multiple of 90 degrees.

    Example:
        >>> phone = np.array([0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30], np.int32)
        >>> step_of_matrix(phone.tobytes()).name
        'ROTATE_270'
    """
    entries = np.frombuffer(matrix, np.int32).astype(np.float64)[[0, 1, 3, 4]]
    scale = np.abs(entries).max()
    if scale == 0:  # no direction at all: players show the frame as it is stored
        return None
    a, b, c, d = np.where(np.abs(entries) < 0.01 * scale, 0, np.sign(entries)).astype(int).tolist()
    if (a, b, c, d) not in MATRICES:
        degrees = np.degrees(np.arctan2(entries[1], entries[0]))
        raise MediaError(
            "undecodable", f"the video is turned by {degrees:.0f} degrees, not a multiple of 90"
        )
    return MATRICES[a, b, c, d]


def flatten(image: Image.Image, background: Sequence[int] = WHITE) -> Image.Image:
    """Convert an image to RGB, in front of a background where it is transparent.

    Raises:
        MediaError: If it has more than 8 bits per channel.

    Example:
        >>> flatten(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    if image.mode.startswith(("I", "F")):
        # Pillow would clip these values at 255.
        raise MediaError("undecodable", f"values of mode {image.mode}, not 8 bits per channel")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image if image.mode == "RGBA" else image.convert("RGBA")
    flat = Image.new("RGB", image.size)
    for top in range(0, image.height, STRIP):
        strip = image.crop((0, top, image.width, min(top + STRIP, image.height)))
        behind = Image.new("RGBA", strip.size, (*background, 255))
        flat.paste(Image.alpha_composite(behind, strip).convert("RGB"), (0, top))
    return flat


def check_background(background: Sequence[int]) -> tuple[int, int, int]:
    """Return red, green and blue, from 0 to 255, as a tuple."""
    colour: list[Any] = list(background)
    if len(colour) != 3:
        raise ValueError(f"background={colour} must be three numbers from 0 to 255: RGB")
    for value in colour:
        check_range("background", value, 0, 255)
    red, green, blue = map(int, colour)
    return red, green, blue
