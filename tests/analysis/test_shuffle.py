import torch

from fdkd_lightning.analysis.shuffle import shuffled_within


def test_a_shuffle_is_a_permutation_that_keeps_the_class() -> None:
    label = torch.randint(4, (50,), generator=torch.Generator().manual_seed(0))
    order = shuffled_within(label, torch.Generator().manual_seed(1))
    assert sorted(order.tolist()) == list(range(50))
    assert torch.equal(label[order], label)
    assert (order != torch.arange(50)).sum() > 25


def test_all_orders_within_a_class_are_equally_likely() -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.tensor([0, 1, 0, 0])
    drawn = [tuple(shuffled_within(label, generator).tolist()) for _ in range(600)]
    counts = [drawn.count(order) for order in {*drawn}]
    assert len(counts) == 6
    # 100 expected; the standard deviation is 9.
    assert min(counts) > 60
