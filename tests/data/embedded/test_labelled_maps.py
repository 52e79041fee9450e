import numpy as np
import pytest

from fdkd_lightning.data.embedded.labelled_maps import covering_order, keep_label_maps

RNG = np.random.default_rng(0)
# Twelve maps of two to three of six classes, two void ones, and one that is the only one with 6.
MAPS = np.stack(
    [RNG.choice(RNG.choice(6, 2), (4, 5)) for _ in range(12)]
    + [np.full((4, 5), 255)] * 2
    + [np.full((4, 5), 6)]
).astype(np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_the_first_maps_cover_all_classes_in_few_steps(seed: int) -> None:
    order = covering_order(MAPS, seed)
    assert sorted(order.tolist()) == [*range(12), 14]
    covered = [len(np.unique(MAPS[order[:n]])) for n in range(1, 6)]
    assert covered[0] == 2
    assert covered[-1] == 7
    assert covered == sorted(covered)


def test_afterwards_the_class_with_the_fewest_pixels_comes_next() -> None:
    maps = np.array([[[0, 0, 0, 1]], [[0, 0, 0, 0]], [[0, 0, 0, 1]], [[0, 0, 0, 0]]])
    for seed in range(5):
        assert {*covering_order(maps, seed)[:2].tolist()} == {0, 2}


def test_kept_maps_are_unchanged_nested_and_the_others_void() -> None:
    before = MAPS.copy()
    kept = {n: keep_label_maps(MAPS, n, seed=1) for n in (1, 4, 13)}
    rows = {n: {*np.flatnonzero((found != 255).any((1, 2)))} for n, found in kept.items()}
    assert [len(found) for found in rows.values()] == [1, 4, 13]
    assert rows[1] < rows[4] < rows[13]
    for n, found in kept.items():
        for i in rows[n]:
            assert np.array_equal(found[i], MAPS[i])
    assert np.array_equal(kept[13], MAPS)
    assert np.array_equal(MAPS, before)
    assert not np.array_equal(keep_label_maps(MAPS, 1, seed=3), kept[1])


def test_more_labels_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match="labelled=14 must be from 1 to 13"):
        keep_label_maps(MAPS, 14, seed=0)


def test_void_maps_have_no_order() -> None:
    assert len(covering_order(np.full((2, 3, 3), 255), seed=0)) == 0
