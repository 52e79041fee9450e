import numpy as np
import pytest
import torch

from fdkd_lightning.data.sampling import EpochSampler, balanced_weights, stratified_order

DATA = [None] * 12


def epochs(sampler: EpochSampler, *numbers: int) -> list[list[tuple[int, int]]]:
    orders = []
    for number in numbers:
        sampler.set_epoch(number)
        orders.append(list(sampler))
    return orders


def test_every_beginning_of_the_order_is_stratified() -> None:
    label = np.repeat(np.arange(4), 25)
    order = stratified_order(label, seed=3)
    assert sorted(order.tolist()) == list(range(100))
    for size in range(1, 101):
        counts = np.bincount(label[order[:size]], minlength=4)
        assert counts.max() - counts.min() <= 1


def test_each_epoch_has_another_order_and_its_number() -> None:
    first, second = epochs(EpochSampler(DATA, 1, 0, seed=0), 0, 1)
    assert sorted(first) == [(0, i) for i in range(12)]
    assert sorted(second) == [(1, i) for i in range(12)]
    assert [i for _, i in first] != [i for _, i in second]
    assert epochs(EpochSampler(DATA, 1, 0, seed=0), 1) == [second]
    assert epochs(EpochSampler(DATA, 1, 0, seed=1), 1) != [second]


@pytest.mark.parametrize("weights", [None, torch.ones(12)])
def test_ranks_share_an_epoch(weights: torch.Tensor | None) -> None:
    whole = list(EpochSampler(DATA, 1, 0, 0, weights))
    shares = [list(EpochSampler(DATA, 3, rank, 0, weights)) for rank in range(3)]
    assert [len(share) for share in shares] == [4, 4, 4]
    assert sorted(pair for share in shares for pair in share) == sorted(whole)


def test_weights_decide_how_often_a_sample_is_drawn() -> None:
    weights = torch.tensor([1.0] * 6 + [3.0] * 5 + [0.0])
    sampler = EpochSampler(DATA, 1, 0, seed=0, weights=weights)
    drawn = np.array([i for order in epochs(sampler, *range(500)) for _, i in order])
    counts = np.bincount(drawn, minlength=12)
    assert counts[11] == 0
    assert counts[6:11].mean() / counts[:6].mean() == pytest.approx(3, rel=0.1)
    assert epochs(sampler, 7) == epochs(sampler, 7) != epochs(sampler, 8)


def test_balanced_weights_make_classes_equal() -> None:
    label = np.array([0] * 10 + [2] * 2 + [5] * 4 + [-100] * 8)
    weights = balanced_weights(label).numpy()
    sums = {int(k): weights[label == k].sum() for k in np.unique(label)}
    assert sums == pytest.approx({0: 16 / 3, 2: 16 / 3, 5: 16 / 3, -100: 8})


def test_balanced_weights_without_any_label_are_equal() -> None:
    assert balanced_weights(np.full(3, -100)).tolist() == [1, 1, 1]
