"""Decode image files with Pillow."""

import warnings
from pathlib import Path

from PIL import Image

from fdkd_lightning.data.preparation.display import turn_upright
from fdkd_lightning.data.preparation.media_error import MediaError, check_file

IMAGES = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that Pillow may detect: no EPS, for which it would start another program."""

MOST_PIXELS = 64_000_000
"""Largest number of pixels of an image: an image takes 4 bytes for each, a turned one 8."""


def read_image(path: str | Path, most_pixels: int = MOST_PIXELS) -> Image.Image:
    """Decode an image in the mode in which it is stored (8-bit ``RGB``, 16-bit ``I;16``, ...).

    The image is upright: an orientation in its EXIF data is applied.
    """
    path = Path(path)
    check_file(path)
    try:
        # Pillow warns of damaged tags, and of large images, for which there is a limit here.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(path, formats=IMAGES) as image,
        ):
            if image.width * image.height > most_pixels:
                raise MediaError(
                    "too-large",
                    f"{image.width} x {image.height} pixels: the limit is {most_pixels:,} pixels; "
                    "scale the file down",
                )
            image.load()
        return turn_upright(image)
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaError("too-large", f"the limit is {most_pixels:,} pixels ({error})") from error
    except Exception as error:
        # Damaged files end in errors of any class, and there is none for truncated files.
        truncated = "truncated" in str(error).lower()
        status = "truncated" if truncated else "undecodable"
        reason = str(error).replace(f" {str(path)!r}", "")  # the same wherever the folder is
        raise MediaError(status, reason or type(error).__name__) from error
