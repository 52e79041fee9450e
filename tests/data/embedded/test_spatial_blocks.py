import numpy as np
import pytest

from fdkd_lightning.data.embedded.spatial_blocks import assign_folds, cut_blocks


@pytest.mark.parametrize(("block", "margin"), [(4, 0), (5, 1), (6, 2), (7, 3)])
def test_blocks_are_apart_in_the_scene(block: int, margin: int) -> None:
    height, width = 20, 27
    rows, columns = np.mgrid[:height, :width]
    blocks = cut_blocks(np.stack([rows, columns], -1), block, margin)
    side = block - 2 * margin
    count = (height // block) * (width // block)
    assert blocks.shape == (count, side, side, 2)
    # Each is a square of neighbouring pixels, and any two are more than two margins apart.
    for i in range(count):
        assert np.array_equal(blocks[i] - blocks[i, 0, 0], np.stack(np.mgrid[:side, :side], -1))
        for j in range(i):
            gaps = np.abs(blocks[i].reshape(-1, 1, 2) - blocks[j].reshape(1, -1, 2)).max(-1)
            assert gaps.min() > 2 * margin


def test_blocks_are_row_by_row_and_keep_further_axes() -> None:
    values = np.arange(6 * 9 * 2).reshape(6, 9, 2)
    blocks = cut_blocks(values, 3, 0)
    assert np.array_equal(blocks[1], values[:3, 3:6])
    assert np.array_equal(blocks[3], values[3:, :3])


@pytest.mark.parametrize("seed", range(4))
def test_each_fold_has_its_share_of_each_class(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = np.stack([rng.choice(rng.choice(8, 2), (4, 4)) for _ in range(80)])
    label[70:] = 255
    label[0], label[1:4] = 8, 9  # in one block, and in three: as many as folds
    folds = assign_folds(label, 3, seed)
    counts = np.array([[(label[folds == f] == k).sum() for k in range(10)] for f in range(3)])
    assert (counts[:, 9] == 16).all()
    shares = counts[:, :8] / counts[:, :8].sum(0)
    assert shares.min() > 0.15
    assert shares.max() < 0.55
    assert np.bincount(folds).min() >= 24
    assert (np.bincount(folds[70:], minlength=3) > 0).all()


def test_the_seed_decides_among_equals_and_the_same_seed_gives_the_same() -> None:
    label = np.repeat(np.arange(2), 12).reshape(24, 1, 1)
    first = assign_folds(label, 3, seed=0)
    assert np.array_equal(first, assign_folds(label, 3, seed=0))
    assert not np.array_equal(first, assign_folds(label, 3, seed=1))
