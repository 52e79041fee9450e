import pytest
import torch

from fdkd_lightning.analysis import make_folds


def test_rows_of_each_class_are_spread_over_all_folds() -> None:
    label = torch.tensor([0] * 10 + [1] * 15 + [2] * 5)
    fold = make_folds(label, folds=5)
    for k, each in ((0, 2), (1, 3), (2, 1)):
        assert fold[label == k].bincount(minlength=5).tolist() == [each] * 5


def test_groups_stay_whole_and_the_largest_come_first() -> None:
    groups = torch.tensor([7] * 6 + [3] * 3 + [5] * 2 + [4] * 2)
    fold = make_folds(torch.zeros(13, dtype=torch.int64), groups, folds=3)
    parts = {tuple(sorted({*groups[fold == f].tolist()})) for f in range(3)}
    # 6, then 3, then 2; the last two go to the smallest fold.
    assert parts == {(7,), (3,), (4, 5)}


def test_the_seed_draws_the_folds() -> None:
    label = torch.zeros(40, dtype=torch.int64)
    assert torch.equal(make_folds(label, seed=1), make_folds(label, seed=1))
    assert not torch.equal(make_folds(label, seed=1), make_folds(label, seed=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folds": 5}, "folds=5 exceeds the 4 rows"),
        ({"groups": torch.tensor([0, 0, 1, 1]), "folds": 3}, "folds=3 exceeds the 2 groups"),
        ({"folds": 2}, "folds=2 must be at least 3"),
        ({"groups": torch.zeros(3, dtype=torch.int64)}, "groups has shape"),
    ],
)
def test_folds_that_cannot_be_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_folds(torch.tensor([0, 1, 0, 1]), **arguments)  # type: ignore[arg-type]
