"""Decode image files with Pillow."""

from pathlib import Path

from PIL import Image

from fdkd_lightning.data.preparation.media_error import MediaError, check_file

IMAGES = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that Pillow may detect: no EPS, for which it would start another program."""


def read_image(path: str | Path) -> Image.Image:
    """Decode an image in the mode in which it is stored (8-bit ``RGB``, 16-bit ``I;16``, ...).

    Args:
        path: An image file in one of the formats ``IMAGES``.

    Raises:
        MediaError: If no image can be decoded from the file.

    Example:
        >>> read_image("absent.jpg")
        Traceback (most recent call last):
        fdkd_lightning.data.preparation.media_error.MediaError: missing: there is no such file
    """
    path = Path(path)
    check_file(path)
    try:
        with Image.open(path, formats=IMAGES) as image:
            image.load()
            return image.copy()
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        # Pillow has no error class for truncated files.
        truncated = "truncated" in str(error).lower()
        status = "truncated" if truncated else "undecodable"
        reason = str(error).replace(f" {str(path)!r}", "")  # the same wherever the folder is
        raise MediaError(status, reason) from error
