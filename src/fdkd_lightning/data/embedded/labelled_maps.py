"""The selection of label maps that are kept where labels are few."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdkd_lightning.data.preparation.recipe.label_map import VOID
from fdkd_lightning.ops.checks import check_range


def keep_label_maps(label: NDArray[Any], labelled: int, seed: int) -> NDArray[Any]:
    """Keep some label maps and make the others void.

    With equal seeds, the maps kept for a smaller ``labelled`` are among those for a larger one.

    Args:
        label: Class of each pixel, 255 for void.
        labelled: Number of maps to keep.
        seed: Seed of the draw.

    Shape:
        - label, output: [M, H, W]

    Raises:
        ValueError: If fewer than ``labelled`` maps have a class anywhere.

    Example:
        >>> label = np.array([[[0, 0]], [[255, 255]], [[0, 1]]])
        >>> keep_label_maps(label, labelled=1, seed=0).tolist()
        [[[255, 255]], [[255, 255]], [[0, 1]]]
    """
    order = covering_order(label, seed)
    check_range("labelled", labelled, 1, len(order))
    kept = np.full_like(label, VOID)
    kept[order[:labelled]] = label[order[:labelled]]
    return kept


def covering_order(label: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """Return an order of the maps whose every prefix covers the classes as far as it can.

    The maps are in a random order, from which the next one taken is the first with the most classes
    that none taken before has; once there are none, the first with the class that has the fewest
    pixels so far. Maps without any class are left out.

    Args:
        label: Class of each pixel, 255 for void.
        seed: Seed of the random order.

    Shape:
        - label: [M, H, W]
        - output: [M'], M' <= M

    Example:
        >>> label = np.array([[[0, 0]], [[255, 255]], [[0, 1]], [[0, 0]]])
        >>> int(covering_order(label, seed=0)[0])
        2
    """
    has_label = (label != VOID).any((1, 2))
    left = np.random.default_rng(seed).permutation(np.flatnonzero(has_label))
    classes = np.unique(label[has_label])
    classes = classes[classes != VOID]
    counts = np.array([[np.count_nonzero(label[i] == k) for k in classes] for i in left])
    total = np.zeros(len(classes), np.int64)
    order: list[int] = []
    while len(left):
        unseen = (counts[:, total == 0] > 0).sum(1)
        rarest = counts[:, np.argmin(total)] > 0
        chosen = int(np.argmax(unseen if unseen.any() else rarest))
        order.append(int(left[chosen]))
        total += counts[chosen]
        left, counts = np.delete(left, chosen), np.delete(counts, chosen, 0)
    return np.array(order, np.int64)
