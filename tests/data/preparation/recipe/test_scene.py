from collections import Counter

import numpy as np
import pytest
from PIL import Image

from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe.depth import DepthRecipe
from fdkd_lightning.data.preparation.recipe.scene import View
from fdkd_lightning.data.preparation.recipe.scene_image import SceneImageRecipe

SCALES = (0.5, 0.75, 1.0, 1.75)


def view(seed: int, **arguments: object) -> View:
    given = {"size": (48, 64), "scales": SCALES} | arguments
    return DepthRecipe(**given).draw(np.random.default_rng(seed))  # type: ignore[arg-type]


def test_without_a_generator_all_is_seen_as_it_is() -> None:
    recipe = DepthRecipe(size=(48, 64), crop=(20, 20))
    values = np.arange(48 * 64).reshape(48, 64)
    assert np.array_equal(recipe.draw(None).nearest(values, 0), values)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    assert np.array_equal(recipe.draw(None).bilinear(picture, (0, 0, 0)), np.asarray(picture))


def test_each_scale_is_drawn_about_equally_often_and_half_are_mirrored() -> None:
    drawn = [view(seed) for seed in range(400)]
    heights = Counter(v.scaled for v in drawn)
    assert heights.keys() == {(24, 32), (36, 48), (48, 64), (84, 112)}
    assert all(60 < count < 140 for count in heights.values())
    assert 160 < sum(v.mirror for v in drawn) < 240
    assert not any(view(seed, mirror=False).mirror for seed in range(20))


def test_a_part_lies_anywhere_within_a_larger_picture() -> None:
    drawn = [view(seed, scales=(1.75,)) for seed in range(300)]
    tops, lefts = ({getattr(v, side) for v in drawn} for side in ("top", "left"))
    assert min(tops) == min(lefts) == 0
    assert max(tops) == 84 - 48
    assert max(lefts) == 112 - 64
    assert len(tops) > 30


def test_a_smaller_picture_lies_in_the_middle() -> None:
    small = view(0, scales=(0.5,), mirror=False)
    part = small.nearest(np.ones((48, 64)), -1)
    assert part.shape == (48, 64)
    rows, columns = (np.flatnonzero((part == 1).any(axis)) for axis in (1, 0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (12, 35, 16, 47)
    assert (part == 1).sum() == 24 * 32


def test_recipes_that_agree_see_the_same_whatever_their_kind() -> None:
    arguments = {"size": (48, 64), "scales": SCALES, "crop": (30, 50)}
    kinds = (DepthRecipe(**arguments), SceneImageRecipe(**arguments))  # type: ignore[arg-type]
    for seed in range(20):
        first, second = (recipe.draw(np.random.default_rng(seed)) for recipe in kinds)
        assert first == second
        assert (first.height, first.width) == (30, 50)
    # Whether or not it mirrors, it draws as often.
    plain = DepthRecipe(mirror=False, **arguments)  # type: ignore[arg-type]
    for seed in range(20):
        first, second = (r.draw(np.random.default_rng(seed)) for r in (kinds[0], plain))
        assert first._replace(mirror=False) == second


@pytest.mark.parametrize("seed", range(30))
def test_colors_and_values_are_of_the_same_place(seed: int) -> None:
    """A picture whose color is its place: what is interpolated lies near what is nearest."""
    rows, columns = np.mgrid[:48, :64]
    places = np.stack([5 * rows, 3 * columns, np.full((48, 64), 255)], 2).astype(np.uint8)
    seen = view(seed, crop=(40, 40))
    colors = seen.bilinear(Image.fromarray(places), (0, 0, 0)).astype(int)
    inside = seen.nearest(np.ones((48, 64), np.uint8), 0).astype(bool)
    assert np.array_equal(colors[..., 2] == 255, inside)
    for channel, (factor, values) in enumerate(((5, rows), (3, columns))):
        error = np.abs(colors[..., channel] / factor - seen.nearest(values, 0))[inside]
        # Half a pixel of the larger of the two grids, and rounding.
        assert error.max() <= 0.5 * max(1, 1 / (seen.scaled[0] / 48)) + 0.5
        assert error.mean() < 0.5


def test_another_size_is_refused_with_both() -> None:
    with pytest.raises(MediaError, match=r"30 x 40 pixels \(height x width\), where .* is 48 x 64"):
        DepthRecipe(size=(48, 64)).check_size((30, 40))


def test_arguments_out_of_range_are_named() -> None:
    for arguments, message in (
        ({"size": (0, 64)}, "size=0 must be at least 1"),
        ({"crop": (48, 0)}, "crop=0 must be at least 1"),
        ({"scales": ()}, r"scales=\[\] must be"),
        ({"scales": (1.0, -0.5)}, r"scales=\[1.0, -0.5\] must be"),
    ):
        with pytest.raises(ValueError, match=message):
            DepthRecipe(**arguments)  # type: ignore[arg-type]


def test_a_mirrored_view_is_the_other_one_from_right_to_left() -> None:
    values = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    for seed in range(10):
        plain, mirrored = (view(seed)._replace(mirror=mirror) for mirror in (False, True))
        found = (seen.nearest(values[..., 0], 7) for seen in (plain, mirrored))
        assert np.array_equal(next(found)[:, ::-1], next(found))
        colors = (seen.bilinear(Image.fromarray(values), (0, 1, 0)) for seen in (plain, mirrored))
        assert np.array_equal(next(colors)[:, ::-1], next(colors))
