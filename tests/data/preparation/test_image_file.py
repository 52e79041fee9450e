from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fdkd_lightning.data.preparation.image_file import read_image
from fdkd_lightning.data.preparation.media_error import MediaError

Write = Callable[..., Path]
Status = Callable[[Callable[[], object]], str]


def test_a_jpeg(tmp_path: Path, write_picture: Write) -> None:
    image = read_image(write_picture(tmp_path / "a.jpg"))
    assert (image.mode, image.size) == ("RGB", (40, 30))
    np.testing.assert_allclose(np.asarray(image)[5, 5], [200, 100, 50], atol=3)


def test_a_16_bit_png_keeps_its_values(tmp_path: Path) -> None:
    depth = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    Image.fromarray(depth).save(tmp_path / "depth.png")
    image = read_image(tmp_path / "depth.png")
    assert image.mode.startswith("I;16")
    np.testing.assert_array_equal(np.asarray(image), depth)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_truncated_picture(tmp_path: Path, name: str, status: Status, half: Write) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    assert status(lambda: read_image(half(tmp_path / name))) == "truncated"


def test_postscript_is_not_run(tmp_path: Path, status: Status) -> None:
    (tmp_path / "a.jpg").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    )
    assert status(lambda: read_image(tmp_path / "a.jpg")) == "undecodable"


def test_a_large_image_is_refused_before_it_is_decoded(tmp_path: Path, status: Status) -> None:
    Image.new("1", (13_000, 13_000)).save(tmp_path / "a.png")
    with pytest.raises(MediaError, match=r"13000 x 13000 pixels: the limit is 64,000,000 pixels"):
        read_image(tmp_path / "a.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "b.png")
    assert status(lambda: read_image(tmp_path / "b.png")) == "too-large"
    assert read_image(tmp_path / "a.png", most_pixels=170_000_000).size == (13_000, 13_000)


def test_damaged_tags_leave_the_image_as_it_is_stored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x9003] = 6, "maker", "2020:01:01 00:00:00"
    tags = exif.tobytes()
    for _ in range(50):
        damaged = bytearray(tags)
        for i in rng.integers(6, len(tags), 3):
            damaged[i] = rng.integers(256)
        Image.new("RGB", (8, 4)).save(tmp_path / "a.jpg", exif=bytes(damaged))
        assert read_image(tmp_path / "a.jpg").size in ((8, 4), (4, 8))
