import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fdkd_lightning.data.transforms.random_affine import RandomAffine

STILL: dict[str, Any] = {"degrees": 0, "translate": 0, "scale": (1, 1), "mirror": False}


def dot(row: int, column: int, height: int = 41, width: int = 61) -> Tensor:
    """A round spot, smooth enough to be found again to a fraction of a pixel."""
    y = torch.arange(height, dtype=torch.float64)[:, None] - row
    x = torch.arange(width, dtype=torch.float64) - column
    return torch.exp(-(x**2 + y**2) / 8)[None, None]


def middle(image: Tensor) -> tuple[float, float]:
    """Row and column of what is seen in a [1, H, W], from the middle."""
    light = image[0] / image.sum()
    height, width = light.shape
    row = (light.sum(1) * torch.arange(height)).sum() - (height - 1) / 2
    column = (light.sum(0) * torch.arange(width)).sum() - (width - 1) / 2
    return float(row), float(column)


def test_evaluation_leaves_images_as_they_are() -> None:
    images = torch.rand(3, 3, 8, 8)
    assert RandomAffine().eval()(images) is images


def test_without_any_range_images_stay() -> None:
    images = torch.rand(3, 3, 12, 20)
    torch.testing.assert_close(RandomAffine(**STILL)(images), images, atol=1e-5, rtol=0)


def test_half_of_the_images_are_mirrored() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 8, 10)
    seen = RandomAffine(**STILL | {"mirror": True})(image.expand(1000, -1, -1, -1))
    same, mirrored = (
        (seen - version).abs().flatten(1).amax(1) < 1e-4 for version in (image, image.flip(-1))
    )
    assert (same ^ mirrored).all()
    assert 430 < int(mirrored.sum()) < 570


def test_each_image_is_moved_by_its_own_share_of_the_sides() -> None:
    torch.manual_seed(0)
    seen = RandomAffine(**STILL | {"translate": 0.2})(dot(20, 30).expand(200, -1, -1, -1))
    moves = torch.tensor([middle(image) for image in seen])
    assert moves.abs().amax(0).tolist() == pytest.approx([0.2 * 41, 0.2 * 61], rel=0.05)
    assert len(moves.round(decimals=2).unique(dim=0)) == 200
    assert moves.mean(0).abs().max() < 1.5


def test_a_wide_image_is_turned_without_being_sheared() -> None:
    torch.manual_seed(0)
    seen = RandomAffine(**STILL | {"degrees": 60})(dot(20, 42).expand(100, -1, -1, -1))
    angles = []
    for image in seen:
        row, column = middle(image)
        assert math.hypot(row, column) == pytest.approx(12, abs=0.1)
        angles.append(math.degrees(math.atan2(row, column)))
    assert min(angles) == pytest.approx(-60, abs=4)
    assert max(angles) == pytest.approx(60, abs=4)


def test_scale_is_that_of_the_drawing() -> None:
    torch.manual_seed(0)
    seen = RandomAffine(**STILL | {"scale": (0.5, 2.0)})(dot(20, 40).expand(200, -1, -1, -1))
    distances = torch.tensor([middle(image)[1] for image in seen]) / 10
    assert float(distances.min()) == pytest.approx(0.5, rel=0.05)
    assert float(distances.max()) == pytest.approx(2.0, rel=0.05)
    # As many are made larger as smaller.
    assert 70 < int((distances > 1).sum()) < 130


def test_a_moved_mirror_image_is_moved_by_no_more() -> None:
    torch.manual_seed(0)
    module = RandomAffine(**STILL | {"translate": 0.2, "mirror": True})
    moves = [middle(p)[1] for p in module(dot(20, 30).expand(200, -1, -1, -1))]
    assert max(map(abs, moves)) == pytest.approx(0.2 * 61, rel=0.05)


def test_beyond_its_edge_a_image_goes_on() -> None:
    white = torch.ones(20, 3, 16, 16)
    torch.testing.assert_close(RandomAffine(90, 0.5, (0.3, 3.0))(white), white)


def test_the_generator_alone_decides_and_types_stay() -> None:
    images = torch.rand(4, 3, 16, 16)
    torch.manual_seed(5)
    first = RandomAffine()(images)
    torch.manual_seed(5)
    assert torch.equal(RandomAffine()(images), first)
    assert not torch.equal(RandomAffine()(images), first)
    assert RandomAffine()(images.double()).dtype == torch.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"degrees": 181}, "degrees=181 must be from 0 to 180"),
        ({"degrees": -1}, "degrees=-1 must be from 0 to 180"),
        ({"translate": 1.5}, r"translate=1.5 must be from 0 to 1"),
        ({"scale": (1.2, 0.8)}, r"scale\[1\]=0.8 must be at least 1.2"),
        ({"scale": (0.0, 1.0)}, r"scale\[0\]=0.0 must be above 0"),
        ({"scale": (1.0, math.nan)}, r"scale\[1\]=nan must be at least 1.0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomAffine(**arguments)


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(3, 8, 8)]
)
def test_other_inputs_are_named(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"images are torch\..* of shape \[.*pass floating-point"):
        RandomAffine()(images)
