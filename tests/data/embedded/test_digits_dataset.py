from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fdkd_lightning.data.embedded.digits import AVDigits
from fdkd_lightning.data.embedded.digits_dataset import AVDigitsDataset

PLAIN: dict[str, Any] = {"modalities": ["visual"], "image_noise": 0.0, "occluder": 0}


def loaded(root: Path, split: str = "train", **arguments: Any) -> AVDigitsDataset:
    dataset = AVDigits(root, **PLAIN | arguments).make_dataset(split)
    assert isinstance(dataset, AVDigitsDataset)
    return dataset


def column(dataset: AVDigitsDataset, name: str) -> torch.Tensor:
    found = dataset.samples[name]
    assert isinstance(found, torch.Tensor)
    return found


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_chosen_classes_are_renumbered_and_the_samples_stay(digits_root: Path, split: str) -> None:
    whole = loaded(digits_root, split, train_size=2000)
    some = loaded(digits_root, split, train_size=400, classes=["nine", "three"])
    label = dict(zip(*(column(whole, n).tolist() for n in ("index", "label")), strict=True))
    old = [label[i] for i in column(some, "index").tolist()]
    assert old == [(9, 3)[k] for k in column(some, "label").tolist()]
    assert len(old) == sum(k in (9, 3) for k in label.values())
    # A sample is degraded as it is among all classes.
    where = np.isin(column(whole, "index").numpy(), column(some, "index").numpy())
    kept = column(whole, "visual")[torch.from_numpy(where)]
    order = column(whole, "index")[torch.from_numpy(where)].argsort()
    assert torch.equal(kept[order], column(some, "visual")[column(some, "index").argsort()])


def test_names_follow_the_digit_and_not_its_new_number(digits_root: Path) -> None:
    arguments = {"modalities": ["text"], "text_noise": 0.0, "train_size": 20}
    some = loaded(digits_root, classes=["nine", "three"], **arguments)
    nines = {some.samples["text"][i] for i in torch.nonzero(column(some, "label") == 0).flatten()}
    assert "nine" in nines or "neun" in nines
    assert "three" not in nines


def test_the_size_is_bounded_by_the_chosen_classes() -> None:
    with pytest.raises(ValueError, match="train_size=1000 must be from 2 to 400"):
        AVDigits(classes=["nine", "three"])
    assert AVDigits(classes=["nine", "three"], train_size=2, labelled=2).class_names == (
        "nine",
        "three",
    )
