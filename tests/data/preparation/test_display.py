from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fdkd_lightning.data.preparation.display import (
    ORIENTATION,
    UPRIGHT,
    check_background,
    flatten,
    step_of_matrix,
    turn_upright,
)
from fdkd_lightning.data.preparation.image_file import read_image
from fdkd_lightning.data.preparation.media_error import MediaError

SCENE = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40

# What the camera stores of the scene [[0, 1, 2], [3, 4, 5]], by the names that EXIF gives to the
# sides of the scene at which the first row and the first column lie.
STORED = {
    1: SCENE,  # top, left
    2: SCENE[:, ::-1],  # top, right
    3: SCENE[::-1, ::-1],  # bottom, right
    4: SCENE[::-1],  # bottom, left
    5: SCENE.T,  # left, top
    6: SCENE.T[::-1],  # right, top
    7: SCENE[::-1, ::-1].T,  # right, bottom
    8: SCENE.T[:, ::-1],  # left, bottom
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.webp", "a.jpg"])
def test_an_image_is_turned_upright(tmp_path: Path, name: str, orientation: int) -> None:
    stored = np.kron(STORED[orientation], np.ones((8, 8), np.uint8))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if name == "a.webp" else {"quality": 95}
    Image.fromarray(stored).convert("RGB").save(tmp_path / name, exif=exif, **options)
    image = read_image(tmp_path / name)
    assert image.size == (24, 16)
    seen = np.asarray(image.convert("L"))[4::8, 4::8]
    np.testing.assert_allclose(seen, SCENE, atol=3 if name == "a.jpg" else 0)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_out_of_range_turns_nothing(orientation: int) -> None:
    image = Image.fromarray(SCENE)
    image.getexif()[ORIENTATION] = orientation
    assert turn_upright(image) is image
    assert {*STORED} == {1, *UPRIGHT}


def matrix(a: float, b: float, c: float, d: float) -> bytes:
    sides = [round(65536 * value) for value in (a, b, c, d)]
    return np.array([*sides[:2], 0, *sides[2:], 0, 0, 0, 1 << 30], np.int32).tobytes()


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((1, 0, 0, 1), SCENE),
        ((0, 1, -1, 0), SCENE.T[:, ::-1]),  # a quarter to the right, as phones write
        ((-1, 0, 0, -1), SCENE[::-1, ::-1]),
        ((0, -1, 1, 0), SCENE.T[::-1]),
        ((-1, 0, 0, 1), SCENE[:, ::-1]),
        ((1, 0, 0, -1), SCENE[::-1]),
        ((0, 1, 1, 0), SCENE.T),
        ((0, -2, -2, 0), SCENE[::-1, ::-1].T),
    ],
)
def test_the_step_of_a_display_matrix(
    entries: tuple[float, float, float, float],
    expected: np.ndarray,  # type: ignore[type-arg]
) -> None:
    step = step_of_matrix(matrix(*entries))
    image = Image.fromarray(SCENE)
    np.testing.assert_array_equal(image if step is None else image.transpose(step), expected)


def test_a_slanted_video_is_refused() -> None:
    with pytest.raises(MediaError, match="turned by 45 degrees, not a multiple of 90"):
        step_of_matrix(matrix(0.7071, 0.7071, -0.7071, 0.7071))
    assert step_of_matrix(bytes(36)) is None


def transparent(mode: str) -> Image.Image:
    """Left: opaque; middle: half transparent; right: transparent, with a colour underneath."""
    if mode == "LA":
        pixels = np.array([[[80, 255], [80, 128], [80, 0]]], np.uint8)
        return Image.fromarray(pixels)
    pixels = np.array([[[80, 80, 80, 255], [80, 80, 80, 128], [80, 80, 80, 0]]], np.uint8)
    image = Image.fromarray(pixels)
    if mode == "RGB":
        image = image.convert("RGB")
        image.putpixel((2, 0), (1, 2, 3))
        image.info["transparency"] = (1, 2, 3)
    if mode == "P":
        image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
        image.putpalette([80, 80, 80] * 3)
        image.info["transparency"] = bytes([255, 128, 0])
    return image


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize(
    ("background", "half", "behind"), [((255,) * 3, 167, 255), ((0,) * 3, 40, 0)]
)
def test_transparent_images_are_composited(
    mode: str, background: tuple[int, int, int], half: int, behind: int
) -> None:
    flat = flatten(transparent(mode), background)
    assert flat.mode == "RGB"
    np.testing.assert_allclose(np.asarray(flat)[0, :, 0], [80, half, behind], atol=1)


def test_one_transparent_colour_is_composited() -> None:
    assert np.asarray(flatten(transparent("RGB")))[0].tolist() == [3 * [80], 3 * [80], 3 * [255]]


def test_opaque_images_keep_their_values() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (600, 3, 4), np.uint8)
    pixels[:, :, 3] = 255
    image = Image.fromarray(pixels)
    np.testing.assert_array_equal(flatten(image), pixels[:, :, :3])
    plain = image.convert("RGB")
    assert flatten(plain) is plain


@pytest.mark.parametrize(
    ("background", "message"),
    [([0, 0], "must be three numbers"), ([0, 0, -1], "background=-1 must be from 0 to 255")],
)
def test_what_is_no_colour_is_named(background: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_background(background)
    assert check_background([1, 2, 3]) == (1, 2, 3)
