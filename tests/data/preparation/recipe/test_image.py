from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe import ImageRecipe

Write = Callable[..., Path]
Store = Callable[..., Path]


def test_a_picture_is_bounded_and_scaled_to_one(
    tmp_path: Path, write_picture: Write, store: Store
) -> None:
    path = write_picture(tmp_path / "a.png", (100, 60))
    recipe = ImageRecipe(size=16, bound=30)
    compact = store(recipe, path)
    assert Image.open(compact).size == (50, 30)
    assert Image.open(store(ImageRecipe(bound=200), path)).size == (100, 60)
    picture = recipe.load(compact, None)
    assert (picture.shape, picture.dtype) == ((3, 16, 16), torch.float32)
    expected = torch.tensor([200, 100, 50])[:, None, None] / 255
    torch.testing.assert_close(picture, expected.expand(3, 16, 16), atol=0.02, rtol=0)


def test_training_views_differ_and_evaluation_sees_the_whole(
    tmp_path: Path, store: Store, write_gradient: Write
) -> None:
    recipe = ImageRecipe(size=32)
    compact = store(recipe, write_gradient(tmp_path / "a.png"))
    whole = recipe.load(compact, None)
    assert whole[0, :, 0].max() < 0.05
    assert whole[0, :, -1].min() > 0.95
    torch.testing.assert_close(
        recipe.load(compact, np.random.default_rng(5)),
        recipe.load(compact, np.random.default_rng(5)),
    )
    areas, mirrored = [], 0
    for seed in range(200):
        view = recipe.load(compact, np.random.default_rng(seed))
        width = float(view[0, :, -1].mean() - view[0, :, 0].mean())
        height = float(view[1, -1].mean() - view[1, 0].mean())
        mirrored += width < 0
        # Of 64 by 48 pixels; the margin is that of JPEG and of resampling.
        assert 0.6 < abs(width) * 64 / (height * 48) < 1.7
        areas.append(abs(width) * height)
    assert 70 < mirrored < 130
    assert 0.05 < min(areas) < 0.2
    assert 0.8 < max(areas) <= 1
    still = ImageRecipe(size=32, augment=False)
    torch.testing.assert_close(still.load(compact, np.random.default_rng(0)), whole)


def test_a_very_long_picture_has_a_view(
    tmp_path: Path, store: Store, write_gradient: Write
) -> None:
    recipe = ImageRecipe(size=8)
    compact = store(recipe, write_gradient(tmp_path / "a.png", (2000, 4)))
    assert {recipe.load(compact, np.random.default_rng(seed)).shape for seed in range(20)} == {
        (3, 8, 8)
    }


def test_gray_and_transparent_pictures_become_rgb_but_16_bits_are_refused(
    tmp_path: Path, store: Store
) -> None:
    recipe = ImageRecipe(size=8)
    for mode in ("L", "P", "RGBA", "CMYK", "1"):
        path = tmp_path / f"{mode}.tiff"
        Image.new(mode, (9, 9)).save(path)
        assert recipe.load(store(recipe, path), None).shape == (3, 8, 8)
    Image.fromarray(np.full((9, 9), 5000, np.uint16)).save(tmp_path / "depth.png")
    with pytest.raises(MediaError, match=r"undecodable: values of mode I;16"):
        recipe.encode(tmp_path / "depth.png")


def test_a_blank_is_like_the_others() -> None:
    blank = ImageRecipe(20).blank()
    assert (blank.shape, blank.dtype, bool(blank.any())) == ((3, 20, 20), torch.float32, False)


def test_the_stored_size_and_quality_tell_compact_forms_apart() -> None:
    kept = [ImageRecipe(), ImageRecipe(bound=100), ImageRecipe(quality=80)]
    assert len({recipe.fingerprint for recipe in kept}) == 3
    assert ImageRecipe(size=32, augment=False).fingerprint == ImageRecipe().fingerprint


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImageRecipe(size=0), "size=0 must be at least 1"),
        (lambda: ImageRecipe(quality=96), "quality=96 must be from 1 to 95"),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
