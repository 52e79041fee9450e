import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fdkd_lightning.data.embedded.watch import EXERCISES, TEST_SUBJECTS, Watch
from fdkd_lightning.data.embedded.watch_file import NAME

PACKAGE = importlib.util.find_spec("seglearn")
needs_package = pytest.mark.skipif(PACKAGE is None, reason="needs seglearn, of the extra demo")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of ten people and seven exercises, whose values say whose they are."""
    folder = tmp_path_factory.mktemp("watch")
    people, exercises = (x.ravel() for x in np.meshgrid(range(1, 11), range(7), indexing="ij"))
    noise = np.random.default_rng(0).normal(size=(70, 9, 6))
    signals = [100.0 * p + 10 * e + x for p, e, x in zip(people, exercises, noise, strict=True)]
    content = {"X": signals, "y": exercises, "subject": people}
    np.save(folder / NAME, np.array(content, dtype=object), allow_pickle=True)
    return folder


def watch(root: Path, **arguments: Any) -> Watch:
    data = Watch(root, window=4, step=2, **arguments)
    data.setup("fit")
    data.setup("test")
    return data


def of(data: Watch, split: str, name: str) -> torch.Tensor:
    dataset = data.datasets[split]
    return torch.stack([dataset[i][name] for i in range(len(dataset))])


@pytest.mark.parametrize("seed", range(6))
def test_no_person_is_in_two_splits_and_the_test_people_are_always_the_same(
    root: Path, seed: int
) -> None:
    data = watch(root, seed=seed)
    people = {split: {*data.datasets[split].subject.tolist()} for split in data.datasets}
    assert people["test"] == TEST_SUBJECTS
    assert [len(people[split]) for split in ("train", "val", "test")] == [4, 2, 4]
    assert set.union(*people.values()) == {*range(1, 11)}
    indices = [*torch.cat([of(data, split, "index") for split in people]).tolist()]
    assert len({*indices}) == len(indices) == 70 * 3


def test_each_window_has_its_person_as_group(root: Path) -> None:
    data = watch(root)
    for split in ("train", "val", "test"):
        assert data.groups(split) == [*data.datasets[split].subject]
        assert {*data.groups(split)} == data.subjects[split]


def test_seeds_draw_other_people_for_validation() -> None:
    assert len({Watch(seed=seed).subjects["val"] for seed in range(20)}) > 5


def test_the_people_of_the_training_split_give_mean_and_scale(root: Path) -> None:
    data = watch(root)
    train = of(data, "train", "accelerometer")
    torch.testing.assert_close(train.mean((0, 2)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.std((0, 2), unbiased=False), torch.ones(3))
    # Values grow with the number of the person.
    assert of(data, "test", "gyroscope").mean() > 1


def test_redrawn_windows_are_of_the_same_exercise_also_without_a_label(root: Path) -> None:
    data = watch(root, labelled_per_class=1, redrawn_within_class="accelerometer")
    paired = watch(root)
    sensors = ("accelerometer", "gyroscope")
    for split in ("train", "val", "test"):
        drawn, own = (of(data, split, name) for name in sensors)
        as_recorded = of(paired, split, "accelerometer")
        torch.testing.assert_close(own, of(paired, split, "gyroscope"))
        if split != "train":
            torch.testing.assert_close(drawn, as_recorded)
            continue
        match = (drawn[:, None] == as_recorded).all(-1).all(-1)
        assert match.any(1).all(), "a window that nobody recorded"
        exercise = of(paired, split, "label")
        assert torch.equal(exercise[match.float().argmax(1)], exercise)
        assert (match.float().argmax(1) != torch.arange(len(match))).float().mean() > 0.5
        assert not torch.equal(drawn, of(data, split, "accelerometer")), "drawn once for ever"
    with pytest.raises(ValueError, match=r"redrawn_within_class.*gyroscop'"):
        Watch(redrawn_within_class="gyroscop")


def test_classes_are_renumbered_in_the_order_given(root: Path) -> None:
    data = watch(root, classes=["upright row", "abduction"])
    assert data.class_names == ("upright row", "abduction")
    whole = watch(root)
    for split in data.datasets:
        label, index = of(data, split, "label"), of(data, split, "index")
        columns = (of(whole, split, name).tolist() for name in ("index", "label"))
        numbers = dict(zip(*columns, strict=True))
        assert [numbers[i] for i in index.tolist()] == [(6, 1)[k] for k in label.tolist()]
        assert len(index) == sum(number in (6, 1) for number in numbers.values())


def test_labels_are_balanced_and_a_smaller_draw_is_part_of_a_larger_one(root: Path) -> None:
    two, three = (of(watch(root, labelled_per_class=n), "train", "label") for n in (2, 3))
    assert two[two >= 0].bincount().tolist() == [2] * 7
    assert torch.equal(two[two >= 0], three[two >= 0])
    assert torch.equal(of(watch(root, labelled=14), "train", "label"), two)
    assert len(two) == len(of(watch(root), "train", "label"))
    other = of(watch(root, seed=1, labelled=14), "train", "label")
    assert not torch.equal(other, two)


def test_each_training_batch_has_the_share_of_labels(root: Path) -> None:
    data = watch(root, labelled_per_class=1, labelled_per_batch=3, batch_size=8)
    found = [(batch["label"] >= 0).sum().item() for batch in data.train_dataloader()]
    # 77 of the 84 pairs have no label, five a batch.
    assert found == [3] * 16


def test_evaluation_keeps_all_labels(root: Path) -> None:
    data = watch(root, labelled_per_class=1)
    assert (of(data, "val", "label") >= 0).all()
    assert (of(data, "test", "label") >= 0).all()


def test_a_batch_is_as_documented(root: Path) -> None:
    data = watch(root, modalities=["gyroscope"], batch_size=5)
    batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    assert batch["gyroscope"].shape == (5, 3, 4)
    assert batch["gyroscope"].dtype == torch.float32
    assert batch.keys() == {"gyroscope", "label", "index"}
    assert batch["label"].dtype == batch["index"].dtype == torch.int64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labelled": 7, "labelled_per_class": 1}, "give one of them"),
        ({"labelled": 6}, "labelled=6"),
        ({"labelled_per_class": 0}, "labelled_per_class=0"),
        ({"classes": ["pendulm", "abduction"]}, "did you mean pendulum"),
        ({"labelled_per_batch": 8}, "labelled_per_batch=8 needs labelled"),
        ({"labelled": 7, "labelled_per_batch": 64}, "must be below batch_size=64"),
        ({"window": 0}, "window=0"),
        ({"step": -1}, "step=-1"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Watch(**arguments)


def test_more_labels_than_pairs_are_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="labelled=1000 exceeds the 84 training pairs"):
        watch(root, labelled=1000)


def test_a_class_without_a_window_and_an_unknown_person_are_named(tmp_path: Path) -> None:
    people = np.arange(1, 11)
    content = {"X": [np.ones((5, 6))] * 10, "y": np.zeros(10, int), "subject": people}
    np.save(tmp_path / NAME, np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="no labelled train window of abduction, forward"):
        watch(tmp_path)
    content["subject"] = people + 1
    np.save(tmp_path / NAME, np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(RuntimeError, match=r"not those of the subjects 1 to 10 .*\[1, 11\]"):
        watch(tmp_path)


@needs_package
def test_the_real_recordings_have_the_published_size() -> None:
    data = Watch()
    data.setup("fit")
    data.setup("test")
    assert sum(len(dataset) for dataset in data.datasets.values()) == 4677
    assert data.class_names == EXERCISES
    assert data.datasets["test"][0]["accelerometer"].shape == (3, 100)
