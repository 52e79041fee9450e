from collections import Counter

import numpy as np

from fdkd_lightning.data.sets.nyu_classes import (
    COARSE,
    NYU_13,
    NYU_40,
    SAME_NAME,
    classes_of_894,
    coarse_class,
)


def test_the_table_has_894_values_and_0_is_void() -> None:
    table = classes_of_894()
    assert len(table) == 895
    assert table[0] == -100
    assert min(table[1:]) == 0
    assert max(table[1:]) == 39


def test_the_first_37_classes_are_one_name_each_and_three_hold_the_rest() -> None:
    counts = Counter(classes_of_894()[1:])
    assert all(counts[k] == 1 for k in range(37))
    # 68 + 82 + 707 + 37 = 894, in the two published copies that were compared.
    assert [counts[k] for k in (37, 38, 39)] == [68, 82, 707]


def test_the_table_is_the_published_one() -> None:
    """Sums over the two published copies: a slip in any place moves one of them."""
    values = np.array(classes_of_894()[1:], np.int64) + 1
    places = np.arange(1, 895)
    assert values.sum() == 34_765
    assert (values * places).sum() == 15_853_453


def test_known_ids_have_their_class() -> None:
    table = classes_of_894()
    known = {
        21: "wall",
        11: "floor",
        157: "bed",
        17: "refridgerator",
        331: "person",
        2: "otherprop",
    }
    known |= {8: "otherstructure", 12: "otherfurniture"}  # dishwasher, garbage bin
    assert {value: NYU_40[table[value]] for value in known} == known


def test_each_of_the_40_is_in_one_of_the_13() -> None:
    assert len(NYU_40) == len(COARSE) == len({*NYU_40}) == 40
    assert {COARSE[k] for k in range(40)} == {*range(1, 14)}
    assert len({*SAME_NAME}) == 37
    pairs = {NYU_40[k]: NYU_13[coarse_class(k)] for k in range(40)}
    assert pairs["desk"] == "table"
    assert pairs["blinds"] == pairs["curtain"] == "window"
    assert pairs["floor mat"] == "floor"
    assert pairs["otherfurniture"] == pairs["bookshelf"] == "furniture"
    assert pairs["otherstructure"] == pairs["shower curtain"] == "objects"
    assert Counter(pairs.values())["objects"] == 16
    assert coarse_class(-100) == -100
