import numpy as np
import pytest
from PIL import Image

from fdkd_lightning.data.preparation.recipe.depth import DepthRecipe
from fdkd_lightning.data.preparation.recipe.view import View


def view(seed: int, **arguments: object) -> View:
    given = {"size": (48, 64), "scales": (0.5, 0.75, 1.0, 1.75)} | arguments
    return DepthRecipe(**given).draw(np.random.default_rng(seed))  # type: ignore[arg-type]


def test_without_a_generator_all_is_seen_as_it_is() -> None:
    recipe = DepthRecipe(size=(48, 64), crop=(20, 20))
    values = np.arange(48 * 64).reshape(48, 64)
    assert np.array_equal(recipe.draw(None).nearest(values, 0), values)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    assert np.array_equal(recipe.draw(None).bilinear(image, (0, 0, 0)), np.asarray(image))


def test_a_smaller_image_lies_in_the_middle() -> None:
    small = view(0, scales=(0.5,), mirror=False)
    part = small.nearest(np.ones((48, 64)), -1)
    assert part.shape == (48, 64)
    rows, columns = (np.flatnonzero((part == 1).any(axis)) for axis in (1, 0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (12, 35, 16, 47)
    assert (part == 1).sum() == 24 * 32


@pytest.mark.parametrize("seed", range(30))
def test_colours_and_values_are_of_the_same_position(seed: int) -> None:
    """An image whose colour is its position: interpolated and nearest values are close."""
    rows, columns = np.mgrid[:48, :64]
    positions = np.stack([5 * rows, 3 * columns, np.full((48, 64), 255)], 2).astype(np.uint8)
    seen = view(seed, crop=(40, 40))
    colors = seen.bilinear(Image.fromarray(positions), (0, 0, 0)).astype(int)
    inside = seen.nearest(np.ones((48, 64), np.uint8), 0).astype(bool)
    assert np.array_equal(colors[..., 2] == 255, inside)
    for channel, (factor, values) in enumerate(((5, rows), (3, columns))):
        error = np.abs(colors[..., channel] / factor - seen.nearest(values, 0))[inside]
        # Half a pixel of the larger of the two grids, and rounding.
        assert error.max() <= 0.5 * max(1, 1 / (seen.scaled[0] / 48)) + 0.5
        assert error.mean() < 0.5


def test_a_mirrored_view_is_the_other_one_from_right_to_left() -> None:
    values = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    for seed in range(10):
        plain, mirrored = (view(seed)._replace(mirror=mirror) for mirror in (False, True))
        found = (seen.nearest(values[..., 0], 7) for seen in (plain, mirrored))
        assert np.array_equal(next(found)[:, ::-1], next(found))
        colors = (seen.bilinear(Image.fromarray(values), (0, 1, 0)) for seen in (plain, mirrored))
        assert np.array_equal(next(colors)[:, ::-1], next(colors))


def test_values_with_channels_are_seen_as_each_channel_by_itself() -> None:
    values = np.random.default_rng(0).integers(0, 256, (48, 64, 4), np.uint8)
    for seed in range(6):
        seen = view(seed, crop=(30, 41))
        whole = seen.nearest(values, 9)
        assert whole.shape == (30, 41, 4)
        for channel in range(4):
            assert np.array_equal(whole[..., channel], seen.nearest(values[..., channel], 9))


def test_boxes_are_scaled_cut_and_mirrored_and_keep_their_class() -> None:
    boxes = np.array([[10, 20, 30, 40, 7], [0, 0, 2, 2, 5]], np.float32)
    seen = View((96, 128), top=50, left=30, height=20, width=40)
    # Doubled: columns 20 to 60, rows 40 to 80.
    assert seen.boxes(boxes, (48, 64)).tolist() == [[0, 0, 30, 20, 7]]
    mirrored = seen._replace(mirror=True).boxes(boxes, (48, 64))
    assert mirrored.tolist() == [[10, 0, 40, 20, 7]]
    whole = View((48, 64), 0, 0, 48, 64)
    assert np.array_equal(whole.boxes(boxes, (48, 64)), boxes)
    assert len(whole.boxes(boxes[:0], (48, 64))) == 0
