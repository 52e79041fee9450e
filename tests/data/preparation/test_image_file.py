from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fdkd_lightning.data.preparation.image_file import read_image

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
