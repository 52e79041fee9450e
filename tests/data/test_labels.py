import numpy as np
import pytest

from fdkd_lightning.data.labels import class_indices, keep_labels, map_labels
from fdkd_lightning.data.preparation.manifest_file import Row


def row(label: str = "", **sources: str) -> Row:
    return Row("", "train", label, sources, "ok", "")


def test_class_names_become_indices_in_the_given_order() -> None:
    rows = [row(label) for label in ("b", "a", "", "b")]
    assert class_indices(rows, ["b", "a", "c"]).tolist() == [0, 1, -100, 0]
    with pytest.raises(KeyError):
        class_indices([row("d")], ["b"])


def test_only_samples_with_a_map_are_labelled() -> None:
    labels = map_labels([row(label_map="a.png"), row("a", visual="a.png")])
    assert (labels.tolist(), labels.dtype) == ([0, -100], np.int64)


def test_kept_labels_are_balanced_and_nested_and_others_are_removed() -> None:
    label = np.array([0] * 20 + [1] * 5 + [-100] * 5)
    kept = {count: keep_labels(label, count, seed=1) for count in (6, 10, 25)}
    for count, masked in kept.items():
        assert (masked != -100).sum() == count
        assert set(masked[label != masked]) <= {-100}
    assert np.bincount(kept[6][kept[6] != -100]).tolist() == [3, 3]
    assert set(np.flatnonzero(kept[6] != -100)) < set(np.flatnonzero(kept[10] != -100))
    assert not np.array_equal(keep_labels(label, 6, seed=2), kept[6])
    with pytest.raises(ValueError, match="labelled=26 must be from 1 to 25"):
        keep_labels(label, 26, seed=0)
