from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe.base import Part
from fdkd_lightning.data.preparation.recipe.depth import DepthRecipe


def kept(tmp_path: Path, recipe: DepthRecipe, source: Path, part: Part | None = None) -> Path:
    path = tmp_path / "kept.png"
    path.write_bytes(recipe.encode(source, part or Part()))
    return path


def write(path: Path, values: Any) -> Path:
    Image.fromarray(values).save(path)
    return path


def test_metres_of_a_matlab_member_are_kept_to_a_millimetre(
    tmp_path: Path, write_nyu: Callable[..., Any]
) -> None:
    write_nyu(tmp_path, "labeled", count=2, split=1)
    recipe = DepthRecipe(size=(48, 64), unit=1 / 5000)
    source = tmp_path / "nyu_depth_v2_labeled.mat"
    depth = recipe.load(kept(tmp_path, recipe, source, Part(member="depths/0")), None)
    assert depth.shape == (1, 48, 64)
    assert depth.dtype == torch.float32
    # The unit is that of whole numbers, and these are metres. 1.0002 m is kept as 1 m.
    assert sorted({round(v, 4) for v in depth.flatten().tolist()}) == [1.0, 2.5, 3.25, 4.0, 9.0]
    raw = recipe.load(kept(tmp_path, recipe, source, Part(member="rawDepths/0")), None)
    assert torch.equal(raw[..., 5:], depth[..., 5:])
    assert not raw[..., :5].any()


def test_whole_numbers_are_steps_of_the_unit(tmp_path: Path) -> None:
    steps = np.array([[0, 5000, 12_345, 50_000]], np.uint16)
    source = write(tmp_path / "a.png", steps)
    for unit, metres in ((1 / 5000, [0, 1, 2.469, 10]), (0.001, [0, 5, 12.345, 50])):
        recipe = DepthRecipe(size=(1, 4), unit=unit)
        found = recipe.load(kept(tmp_path, recipe, source), None)
        assert found.flatten().tolist() == pytest.approx(metres, abs=1e-6)


def test_all_16_bits_of_millimetres_come_back(tmp_path: Path) -> None:
    steps = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    recipe = DepthRecipe(size=(256, 256), unit=0.001)
    found = recipe.load(kept(tmp_path, recipe, write(tmp_path / "a.png", steps)), None)
    assert np.array_equal(np.rint(found[0].numpy() * 1000), steps)


def test_what_a_sensor_did_not_see_is_0(tmp_path: Path) -> None:
    metres = np.array([[np.nan, np.inf, -1.0, 0.0, 2.0]], np.float32)
    recipe = DepthRecipe(size=(1, 5))
    found = recipe.load(kept(tmp_path, recipe, write(tmp_path / "a.tiff", metres)), None)
    assert found.flatten().tolist() == [0, 0, 0, 0, 2]


def test_no_distance_is_in_a_view_that_is_not_in_the_map(tmp_path: Path) -> None:
    values = np.random.default_rng(0).choice([1000, 4000], (48, 64)).astype(np.uint16)
    recipe = DepthRecipe(size=(48, 64))
    path = kept(tmp_path, recipe, write(tmp_path / "a.png", values))
    for seed in range(20):
        view = recipe.load(path, np.random.default_rng(seed))
        assert {*view.unique().tolist()} <= {0.0, 1.0, 4.0}
    assert torch.equal(recipe.blank(), torch.zeros(1, 48, 64))


def test_what_is_no_depth_map_is_refused(tmp_path: Path) -> None:
    for name, values, message in (
        ("8.png", np.zeros((48, 64), np.uint8), "mode L: 8 bits cannot hold a distance"),
        (
            "far.tiff",
            np.full((48, 64), 70.0, np.float32),
            "70.000 m exceeds the largest distance, 65.535 m",
        ),
        ("size.png", np.zeros((48, 60), np.uint16), "48 x 60 pixels"),
    ):
        with pytest.raises(MediaError, match=message):
            DepthRecipe(size=(48, 64)).encode(write(tmp_path / name, values))
    for unit in (0, float("nan")):
        with pytest.raises(ValueError, match=f"unit={unit} must be above 0"):
            DepthRecipe(unit=unit)


def test_another_unit_is_another_compact_form() -> None:
    assert DepthRecipe(unit=0.001).fingerprint != DepthRecipe(unit=0.0002).fingerprint
    assert DepthRecipe(crop=(9, 9)).fingerprint == DepthRecipe().fingerprint
