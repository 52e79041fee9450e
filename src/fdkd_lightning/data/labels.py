"""Class indices of samples, and the selection of those that keep their label."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fdkd_lightning.data.preparation.manifest_file import Row
from fdkd_lightning.data.preparation.sample import LABEL_MAP
from fdkd_lightning.data.sampling import stratified_order
from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.types import IGNORE_INDEX


def class_indices(rows: Sequence[Row], class_names: Sequence[str]) -> NDArray[np.int64]:
    """Convert the class names of samples to class indices.

    Shape:
        - output: [N], -100 for unlabelled samples

    Example:
        >>> rows = [Row("", "train", label, {}, "ok", "") for label in ("wren", "", "owl")]
        >>> class_indices(rows, ["owl", "wren"]).tolist()
        [1, -100, 0]
    """
    index = {name: k for k, name in enumerate(class_names)} | {"": IGNORE_INDEX}
    return np.array([index[row.label] for row in rows], np.int64)


def map_labels(rows: Sequence[Row]) -> NDArray[np.int64]:
    """Return 0 for samples with a label map and -100 for samples without one.

    Shape:
        - output: [N]

    Example:
        >>> sources = ({"label_map": "a.png"}, {})
        >>> map_labels([Row("", "train", "", each, "ok", "") for each in sources]).tolist()
        [0, -100]
    """
    has_map = [LABEL_MAP in row.sources for row in rows]
    return np.where(has_map, 0, IGNORE_INDEX).astype(np.int64)


def keep_labels(label: NDArray[np.int64], labelled: int, seed: int) -> NDArray[np.int64]:
    """Keep some labels, as many of each class as far as possible, and remove the others.

    With equal seeds, the labels kept for a smaller ``labelled`` are among those for a larger one.

    Shape:
        - label: [N]
        - output: [N], -100 where the label was removed

    Raises:
        ValueError: If fewer than ``labelled`` samples have a label.

    Example:
        >>> keep_labels(np.array([0, 0, 1, -100, 1]), labelled=2, seed=0).tolist().count(-100)
        3
    """
    has_label = np.flatnonzero(label != IGNORE_INDEX)
    check_count("labelled", labelled, 1, len(has_label))
    kept = np.full_like(label, IGNORE_INDEX)
    positions = has_label[stratified_order(label[has_label], seed)[:labelled]]
    kept[positions] = label[positions]
    return kept
