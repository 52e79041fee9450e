from typing import Literal

import pytest
import torch
from torch import Tensor

from fdkd_lightning.losses.class_rows import class_rows
from fdkd_lightning.losses.permutations import Permutations
from fdkd_lightning.ops.normalize import l2_normalize


class Backwards(Permutations):
    def __call__(self, size: int) -> Tensor:
        return torch.arange(size).flip(0)


def maps() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = l2_normalize(torch.randn(2, 4, 3, 3, dtype=torch.float64, generator=generator))
    labels = torch.tensor(
        [[[0, 0, 2], [2, 2, -100], [2, 0, 2]], [[-100, -100, -100], [1, 1, 1], [1, 1, 1]]]
    )
    return features, labels


@pytest.mark.parametrize("positions", ["class", "published"])
def test_given_permutations_choose_the_pixels(positions: Literal["class", "published"]) -> None:
    features, labels = maps()
    rows = class_rows(features, labels, 3, 4, positions, Backwards())
    assert rows.counts.tolist() == [[3, 0, 4], [0, 4, 0]]
    assert rows.present.tolist() == [[1, 0, 1], [0, 1, 0]]
    pixels = features.flatten(2)
    for n, k in ((0, 0), (0, 2), (1, 1)):
        own = (labels[n].flatten() == k).nonzero().flatten().tolist()
        places = own if positions == "class" else list(range(len(own)))
        for u, place in enumerate(places[::-1][:4]):
            torch.testing.assert_close(rows.pixels[n, k, u], pixels[n, :, place])
        region = pixels[n][:, own].mean(1)
        torch.testing.assert_close(rows.regions[n, k, 0], region / region.norm())


@pytest.mark.parametrize("positions", ["class", "published"])
def test_without_them_the_pixels_are_random_and_distinct(
    positions: Literal["class", "published"],
) -> None:
    features, labels = maps()
    pixels = features.flatten(2)[0]
    own = (labels[0].flatten() == 2).nonzero().flatten().tolist()
    seen = set()
    for seed in range(40):
        torch.manual_seed(seed)
        found = class_rows(features, labels, 3, 2, positions).pixels[0, 2]
        places = tuple(int((pixels.T - row).norm(dim=1).argmin()) for row in found)
        assert len({*places}) == 2
        seen |= {*places}
    assert seen == {*(own if positions == "class" else range(5))}


def test_an_image_smaller_than_the_count_adds_what_it_has() -> None:
    features, labels = maps()
    rows = class_rows(features, labels, 3, 100)
    assert rows.pixels.shape == (2, 3, 9, 4)
    assert rows.counts.tolist() == [[3, 0, 5], [0, 6, 0]]
