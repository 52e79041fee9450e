from collections import Counter

import numpy as np
import pytest

from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe.depth import DepthRecipe
from fdkd_lightning.data.preparation.recipe.scene_image import SceneImageRecipe
from fdkd_lightning.data.preparation.recipe.view import View

SCALES = (0.5, 0.75, 1.0, 1.75)


def view(seed: int, **arguments: object) -> View:
    given = {"size": (48, 64), "scales": SCALES} | arguments
    return DepthRecipe(**given).draw(np.random.default_rng(seed))  # type: ignore[arg-type]


def test_each_scale_is_drawn_about_equally_often_and_half_are_mirrored() -> None:
    drawn = [view(seed) for seed in range(400)]
    heights = Counter(v.scaled for v in drawn)
    assert heights.keys() == {(24, 32), (36, 48), (48, 64), (84, 112)}
    assert all(60 < count < 140 for count in heights.values())
    assert 160 < sum(v.mirror for v in drawn) < 240
    assert not any(view(seed, mirror=False).mirror for seed in range(20))


def test_a_part_lies_anywhere_within_a_larger_image() -> None:
    drawn = [view(seed, scales=(1.75,)) for seed in range(300)]
    tops, lefts = ({getattr(v, side) for v in drawn} for side in ("top", "left"))
    assert min(tops) == min(lefts) == 0
    assert max(tops) == 84 - 48
    assert max(lefts) == 112 - 64
    assert len(tops) > 30


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


def test_another_size_is_refused_with_both() -> None:
    with pytest.raises(MediaError, match=r"30 x 40 pixels \(height x width\), but .* is 48 x 64"):
        DepthRecipe(size=(48, 64)).check_size((30, 40))


def test_arguments_out_of_range_are_named() -> None:
    for arguments, message in (
        ({"size": (0, 64)}, "size=0 must be at least 1"),
        ({"crop": (48, 0)}, "crop=0 must be at least 1"),
        ({"scales": ()}, r"scales=\[\] must hold at least one number"),
        ({"scales": (1.0, -0.5)}, "scales=-0.5 must be above 0"),
        ({"scales": (1.0, float("nan"))}, "scales=nan must be above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            DepthRecipe(**arguments)  # type: ignore[arg-type]
