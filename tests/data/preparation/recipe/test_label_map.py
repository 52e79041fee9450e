from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe.base import Part
from fdkd_lightning.data.preparation.recipe.label_map import LabelMapRecipe
from fdkd_lightning.data.sets.nyu_classes import classes_of_894


def loaded(tmp_path: Path, recipe: LabelMapRecipe, values: NDArray[Any]) -> torch.Tensor:
    Image.fromarray(values).save(tmp_path / "source.png")
    (tmp_path / "kept.png").write_bytes(recipe.encode(tmp_path / "source.png"))
    return recipe.load(tmp_path / "kept.png", None)


def test_values_become_classes_and_void(tmp_path: Path) -> None:
    recipe = LabelMapRecipe(classes=(-100, 7, 0, -100), size=(2, 3))
    found = loaded(tmp_path, recipe, np.array([[0, 1, 2], [3, 2, 1]], np.uint8))
    assert found.dtype == torch.int64
    assert found.tolist() == [[-100, 7, 0], [-100, 0, 7]]


def test_a_matlab_member_of_16_bits_is_read(tmp_path: Path, write_nyu: Callable[..., Any]) -> None:
    rooms = write_nyu(tmp_path, "labeled", count=2, split=1)
    recipe = LabelMapRecipe(classes_of_894(), size=(48, 64))
    content = recipe.encode(tmp_path / "nyu_depth_v2_labeled.mat", Part(member="labels/1"))
    (tmp_path / "kept.png").write_bytes(content)
    assert np.array_equal(recipe.load(tmp_path / "kept.png", None).numpy(), rooms[1])


def test_a_smaller_map_lies_in_the_middle_of_void(tmp_path: Path) -> None:
    recipe = LabelMapRecipe(classes=(0, 1), size=(6, 7))
    found = loaded(tmp_path, recipe, np.ones((3, 3), np.uint8))
    # Three rows more: one above and two below, as TokenFusion crops its images.
    assert torch.nonzero(found == 1).min(0).values.tolist() == [1, 2]
    assert (found == 1).sum() == 9
    assert (found == -100).sum() == 33


def test_beyond_an_image_is_void(tmp_path: Path) -> None:
    recipe = LabelMapRecipe(classes=(0,), size=(8, 8), scales=(0.5,))
    loaded(tmp_path, recipe, np.zeros((8, 8), np.uint8))
    view = recipe.load(tmp_path / "kept.png", np.random.default_rng(0))
    assert (view == 0).sum() == 16
    assert (view == -100).sum() == 48
    assert recipe.blank().unique().tolist() == [-100]


def test_what_is_no_such_map_is_refused(tmp_path: Path) -> None:
    recipe = LabelMapRecipe(classes=(-100, *range(40)), size=(4, 4))
    for values, message in (
        (
            np.full((4, 4), 41, np.uint8),
            "values from 41 to 41, but classes covers 0 to 40",
        ),
        (np.zeros((5, 4), np.uint8), "5 x 4 pixels"),
        (np.zeros((4, 4, 3), np.uint8), "mode RGB are not integers"),
    ):
        with pytest.raises(MediaError, match=message):
            loaded(tmp_path, recipe, values)


def test_classes_that_cannot_be_kept_are_refused() -> None:
    for classes, message in (((), "holds nothing"), ((0, 255), "holds 255"), ((-1,), "holds -1")):
        with pytest.raises(ValueError, match=message):
            LabelMapRecipe(classes=classes)


def test_other_classes_are_another_compact_form() -> None:
    assert LabelMapRecipe((0, 1)).fingerprint != LabelMapRecipe((1, 0)).fingerprint
    assert LabelMapRecipe((0, 1), crop=(9, 9)).fingerprint == LabelMapRecipe((0, 1)).fingerprint
