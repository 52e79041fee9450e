from collections.abc import Callable

import pytest

from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.preparation.validation_split import (
    add_validation_split,
    draw_validation,
)

Make = Callable[..., Sample]


def drawn(samples: list[Sample], fraction: float, seed: int = 0) -> set[str]:
    moved = draw_validation(samples, fraction, seed)
    assert [s._replace(split="") for s in moved] == [s._replace(split="") for s in samples]
    return {s.id for s in moved if s.split == "val"}


def test_a_part_of_each_class_is_drawn_whatever_the_order(make_sample: Make) -> None:
    samples = [make_sample(i, label="aab"[i % 3]) for i in range(60)] + [make_sample(60, "test")]
    val = drawn(samples, 0.1)
    labels = [s.label for s in samples if s.id in val]
    assert (labels.count("a"), labels.count("b")) == (4, 2)
    assert drawn(samples[::-1], 0.1) == val != drawn(samples, 0.1, seed=1)
    assert "60" not in val
    # Another sample takes a place, or not: the others' lots stay.
    assert len(val - drawn([*samples, make_sample(61)], 0.1)) <= 1


def test_whole_groups_are_drawn(make_sample: Make) -> None:
    samples = [make_sample(i, label="ab"[i % 2], group=f"g{i // 5}") for i in range(100)]
    val = drawn(samples, 0.2)
    assert len(val) == 20
    groups = {s.group for s in samples if s.id in val}
    assert not groups & {s.group for s in samples if s.id not in val}
    assert drawn(samples, 0.21) > val


def test_a_part_that_is_nothing_or_all_is_refused(make_sample: Make) -> None:
    samples = [make_sample(i) for i in range(4)]
    for fraction, count in ((0.1, 0), (0.9, 4)):
        with pytest.raises(ValueError, match=rf"val_fraction={fraction} draws {count} of 4"):
            draw_validation(samples, fraction, 0)
    with pytest.raises(ValueError, match="draws 4 of 4"):
        draw_validation([make_sample(i, group="g") for i in range(4)], 0.5, 0)
    with pytest.raises(ValueError, match="draws 0 of 0"):
        draw_validation([make_sample(1, "test")], 0.5, 0)


def test_a_sample_without_group_among_others_is_named(make_sample: Make) -> None:
    with pytest.raises(ValueError, match=r"t.csv, line 2: the group is empty"):
        draw_validation([make_sample(1, group="g"), make_sample(2)], 0.5, 0)


def test_a_fraction_that_is_not_between_0_and_1_is_refused(make_sample: Make) -> None:
    for fraction in (0.0, 1.0, float("nan")):
        with pytest.raises(
            ValueError, match=f"val_fraction={fraction} must be above 0 and below 1"
        ):
            draw_validation([make_sample(1), make_sample(2)], fraction, 0)


def test_a_split_is_added_only_to_a_set_without_one(make_sample: Make) -> None:
    train = [make_sample(i) for i in range(10)]
    assert add_validation_split(train, None, None, seed=0) == train
    assert add_validation_split(train, None, 0.2, seed=3) == draw_validation(train, 0.2, 3)
    assert add_validation_split(train, 0.4, 0.2, seed=3) == draw_validation(train, 0.4, 3)
    whole = [*train, make_sample(10, "val")]
    assert add_validation_split(whole, None, 0.2, seed=0) == whole
    with pytest.raises(ValueError, match=r"val_fraction=0.4, but the data set has a validation"):
        add_validation_split(whole, 0.4, None, seed=0)
