"""Convert a decoded video frame to an image."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from fdkd_lightning.data.preparation.display import WHITE, flatten, step_of_matrix

WHOLE_PIXELS = 4096 * 2304
"""Frames up to this number of pixels (4K) are converted whole, before Pillow scales them."""


def upright_step(frame: Any) -> Image.Transpose | None:
    """Return the step that turns the frames of a video upright; None if they are.

    Asked of every frame, it would keep all of them in memory: PyAV's frame and its side data refer
    to each other.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return None if matrix is None else step_of_matrix(bytes(matrix))


def to_image(
    frame: Any,
    bound: int | None = None,
    background: Sequence[int] = WHITE,
    step: Image.Transpose | None = None,
) -> Image.Image:
    """Convert a frame to an RGB image, upright and in front of a background.

    Args:
        frame: Decoded frame of PyAV.
        bound: Shorter side to which a frame above 4K is scaled; None: no frame is scaled.
        background: Colour behind a transparent frame.
        step: What turns the frame upright; None: nothing.
    """
    scale = 1.0 if bound is None else bound / min(frame.width, frame.height)
    if scale < 1 and frame.width * frame.height > WHOLE_PIXELS:
        width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
        alpha = "rgba" if _has_alpha(frame) else "rgb24"
        image = frame.reformat(width, height, alpha, interpolation="BICUBIC")
    else:
        image = frame
    if _has_alpha(image):
        picture = flatten(Image.fromarray(image.to_ndarray(format="rgba")), background)
    else:
        picture = image.to_image()
    return picture if step is None else picture.transpose(step)


def _has_alpha(frame: Any) -> bool:
    return any(component.is_alpha for component in frame.format.components)
