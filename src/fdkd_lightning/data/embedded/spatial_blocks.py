"""Splits of one scene by spatial blocks, so that neighbouring pixels are not in two splits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdkd_lightning.data.preparation.recipe.label_map import VOID


def cut_blocks(values: NDArray[Any], block: int, margin: int) -> NDArray[Any]:
    """Cut a scene into square blocks, row by row, without a margin at all four sides of each.

    Pixels of two blocks are more than 2 ``margin`` apart in rows or in columns. Rows and columns
    beyond the last whole block are left out.

    Args:
        values: The scene.
        block: Side of a block, pixels.
        margin: Pixels that are left out at each side.

    Shape:
        - values: [H, W, ...]
        - output: [B, block - 2 margin, block - 2 margin, ...]

    Example:
        >>> cut_blocks(np.arange(24).reshape(4, 6), block=3, margin=1).tolist()
        [[[7]], [[10]]]
    """
    rows, columns = values.shape[0] // block, values.shape[1] // block
    whole = values[: rows * block, : columns * block]
    tiles = whole.reshape(rows, block, columns, block, *values.shape[2:]).swapaxes(1, 2)
    inner = slice(margin, block - margin)
    return tiles.reshape(rows * columns, block, block, *values.shape[2:])[:, inner, inner]


def assign_folds(label: NDArray[Any], folds: int, seed: int) -> NDArray[np.int64]:
    """Assign blocks to folds such that each fold has its share of each class, as far as it can.

    Iterative stratification: of the class that is in the fewest blocks left, the block with the
    most pixels goes to the fold that lacks the most of this class; then the next. Blocks without a
    class go to the fold with the fewest blocks.

    Args:
        label: Class of each pixel of each block, 255 for void.
        folds: Number of folds.
        seed: Decides among equals.

    Shape:
        - label: [B, H, W]
        - output: [B], from 0

    Reference:
        Sechidis et al., "On the Stratification of Multi-Label Data" (ECML 2011).

    Example:
        >>> label = np.array([0, 0, 1, 1, 255, 255]).reshape(6, 1, 1)
        >>> folds = assign_folds(label, folds=2, seed=0)
        >>> [sorted(folds[a:a + 2].tolist()) for a in (0, 2, 4)]
        [[0, 1], [0, 1], [0, 1]]
    """
    rng = np.random.default_rng(seed)
    classes = np.unique(label[label != VOID])
    counts = np.stack([(label == k).sum((1, 2)) for k in classes], 1)
    lacking = np.tile(counts.sum(0) / folds, (folds, 1))
    sizes = np.zeros(folds, np.int64)
    fold = np.full(len(label), -1)
    left = rng.permutation(len(label))
    while len(left):
        blocks = (counts[left] > 0).sum(0).astype(float)
        blocks[blocks == 0] = np.inf
        rarest = int(np.argmin(blocks))
        if np.isinf(blocks[rarest]):
            block, wanted = left[0], np.zeros(folds)
        else:
            block = left[np.argmax(counts[left, rarest])]
            wanted = lacking[:, rarest]
        # Of the folds that lack the most: the one with the fewest blocks.
        best = np.flatnonzero(wanted == wanted.max())
        chosen = int(best[np.argmin(sizes[best])])
        fold[block] = chosen
        lacking[chosen] -= counts[block]
        sizes[chosen] += 1
        left = left[left != block]
    return fold
