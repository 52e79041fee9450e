from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe.base import Part
from fdkd_lightning.data.preparation.recipe.image import IMAGENET_MEAN
from fdkd_lightning.data.preparation.recipe.scene_image import SceneImageRecipe

SIZE = (48, 64)


def test_a_matlab_member_is_the_image_it_was(tmp_path: Path, write_nyu: Callable[..., Any]) -> None:
    write_nyu(tmp_path, "labeled", count=2, split=1)
    recipe = SceneImageRecipe(size=SIZE)
    part = Part(member="images/1")
    stored = tmp_path / "a.jpg"
    stored.write_bytes(recipe.encode(tmp_path / "nyu_depth_v2_labeled.mat", part))
    found = recipe.load(stored, None)
    assert found.shape == (3, *SIZE)
    assert found.dtype == torch.float32
    for (row, column), color in {(10, 60): (250, 240, 20), (44, 60): (20, 200, 60)}.items():
        assert (255 * found[:, row, column]).tolist() == pytest.approx(color, abs=4)


def test_training_fills_with_the_mean_colour(tmp_path: Path) -> None:
    recipe = SceneImageRecipe(size=SIZE, scales=(0.5,))
    Image.new("RGB", (64, 48), (255, 255, 255)).save(tmp_path / "white.png")
    (tmp_path / "a.jpg").write_bytes(recipe.encode(tmp_path / "white.png"))
    found = recipe.load(tmp_path / "a.jpg", np.random.default_rng(0))
    assert found[:, 0, 0].tolist() == pytest.approx(IMAGENET_MEAN, abs=0.002)
    assert found[:, 24, 32].tolist() == pytest.approx([1, 1, 1], abs=0.01)
    assert recipe.blank()[:, 3, 5].tolist() == pytest.approx(IMAGENET_MEAN)
    assert recipe.blank().shape == found.shape


def test_the_size_of_training_is_that_of_the_crop(tmp_path: Path) -> None:
    recipe = SceneImageRecipe(size=SIZE, crop=(20, 30))
    Image.new("RGB", (64, 48)).save(tmp_path / "black.png")
    (tmp_path / "a.jpg").write_bytes(recipe.encode(tmp_path / "black.png"))
    for seed in range(10):
        found = recipe.load(tmp_path / "a.jpg", np.random.default_rng(seed))
        assert found.shape == (3, 20, 30)
    assert recipe.load(tmp_path / "a.jpg", None).shape == (3, *SIZE)


def test_what_is_no_such_image_is_refused(tmp_path: Path, write_nyu: Callable[..., Any]) -> None:
    write_nyu(tmp_path, "labeled", count=2, split=1)
    Image.fromarray(np.zeros(SIZE, np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGB", (40, 30)).save(tmp_path / "small.png")
    recipe = SceneImageRecipe(size=SIZE)
    for name, part, message in (
        ("nyu_depth_v2_labeled.mat", Part(member="depths/0"), "float32 .*not RGB"),
        ("deep.png", Part(), "not 8 bits per channel"),
        ("small.png", Part(), "30 x 40 pixels"),
    ):
        with pytest.raises(MediaError, match=message) as caught:
            recipe.encode(tmp_path / name, part)
        assert caught.value.status == "undecodable"


def test_only_size_and_quality_are_stored() -> None:
    first = SceneImageRecipe(crop=(320, 320), scales=(1.0,), mirror=False)
    assert first.fingerprint == SceneImageRecipe().fingerprint
    assert first.fingerprint != SceneImageRecipe(quality=90).fingerprint
    with pytest.raises(ValueError, match="quality=96"):
        SceneImageRecipe(quality=96)
