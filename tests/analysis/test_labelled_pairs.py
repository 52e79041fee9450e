import torch

from fdkd_lightning.analysis.collected import Collected, Split
from fdkd_lightning.analysis.labelled_pairs import labelled_pairs


def seen(*positions: int) -> Collected:
    position = torch.tensor(positions)
    return Collected(10.0 * position.unsqueeze(1), torch.zeros(len(position), 2), position)


def split(label: list[int], groups: list[int] | None, **outputs: Collected) -> Split:
    known = None if groups is None else torch.tensor(groups)
    return Split(torch.tensor(label), known, outputs)


def test_a_pair_has_a_label_and_both_modalities_in_their_order() -> None:
    train = split([0, 1, -100, 2], [7, 8, 9, 7], a=seen(0, 1, 2, 3), b=seen(1, 2, 3))
    val = split([1, 1], [4, 5], a=seen(1), b=seen(0, 1))
    pairs = labelled_pairs([train, val], "a", "b", most=9)
    assert pairs.first.flatten().tolist() == pairs.second.flatten().tolist() == [10, 30, 10]
    assert pairs.label.tolist() == [1, 2, 1]
    assert pairs.groups is not None
    assert pairs.groups.tolist() == [8, 7, 5]


def test_groups_of_one_split_alone_are_not_known() -> None:
    both = {"a": seen(0, 1), "b": seen(0, 1)}
    pairs = labelled_pairs(
        [split([0, 1], [1, 2], **both), split([0, 1], None, **both)], "a", "b", 9
    )
    assert pairs.groups is None
    assert len(pairs.label) == 4


def test_of_many_pairs_some_are_drawn_together_and_always_the_same() -> None:
    many = seen(*range(100))
    drawn = [
        labelled_pairs([split([*range(100)], [*range(100)], a=many, b=many)], "a", "b", most=20)
        for _ in range(2)
    ]
    assert len({*drawn[0].label.tolist()}) == 20
    assert drawn[0].first.flatten().tolist() == [10 * k for k in drawn[0].label.tolist()]
    assert torch.equal(drawn[0].label, drawn[1].label)
    assert drawn[0].groups is not None
    assert torch.equal(drawn[0].groups, drawn[0].label)
