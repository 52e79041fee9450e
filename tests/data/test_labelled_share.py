from collections import Counter

import numpy as np
import pytest

from fdkd_lightning.data.labelled_share import LabelledShareSampler

HAS_LABEL = np.arange(29) % 7 == 3  # 4 of 29


def sampler(
    ranks: int = 1, rank: int = 0, labelled: int = 2, seed: int = 0
) -> LabelledShareSampler:
    return LabelledShareSampler(
        range(29),  # type: ignore[arg-type]  # a sampler asks for the length alone
        ranks,
        rank,
        seed,
        HAS_LABEL,
        labelled,
        batch_size=6,
    )


def batches(of: LabelledShareSampler, epoch: int = 0) -> list[list[int]]:
    of.set_epoch(epoch)
    order = list(of)
    assert len(order) == len(of)
    return [order[i : i + 6] for i in range(0, len(order), 6)]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_each_batch_of_each_rank_has_its_share_of_labels(ranks: int) -> None:
    found = [batches(sampler(ranks, rank)) for rank in range(ranks)]
    assert len({len(of_rank) for of_rank in found}) == 1
    for batch in (batch for of_rank in found for batch in of_rank):
        assert len(batch) == 6
        assert HAS_LABEL[batch].sum() == 2


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_an_epoch_goes_once_through_the_unlabelled_and_evenly_through_the_labelled(
    ranks: int,
) -> None:
    drawn = [i for rank in range(ranks) for batch in batches(sampler(ranks, rank)) for i in batch]
    count = Counter(drawn)
    unlabelled = [count[i] for i in np.flatnonzero(~HAS_LABEL)]
    # The last batches of the ranks are filled up.
    assert min(unlabelled) == 1
    assert sum(unlabelled) - len(unlabelled) < 4 * ranks
    labelled = [count[i] for i in np.flatnonzero(HAS_LABEL)]
    assert max(labelled) - min(labelled) <= 1


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    assert batches(sampler(), 3) == batches(sampler(), 3)
    assert batches(sampler(), 3) != batches(sampler(), 4)
    assert batches(sampler(seed=1), 3) != batches(sampler(), 3)


@pytest.mark.parametrize("has_label", [np.ones(5, bool), np.zeros(5, bool)])
def test_both_kinds_are_needed(has_label: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"of 5 training samples have a label"):
        LabelledShareSampler(range(5), 1, 0, 0, has_label, 1, 3)  # type: ignore[arg-type]  # as above
