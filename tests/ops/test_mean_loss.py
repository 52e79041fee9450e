import torch

from fdkd_lightning.ops.cross_entropy import cross_entropy, cross_entropy_sum
from fdkd_lightning.ops.mean_loss import MeanLoss


def test_over_an_epoch_each_label_weighs_the_same() -> None:
    logits, target = torch.randn(7, 3), torch.tensor([0, 1, -100, 2, -100, -100, 1])
    metric = MeanLoss()
    for rows in (slice(0, 4), slice(4, 6), slice(6, 7)):
        metric.update(*cross_entropy_sum(logits[rows], target[rows]))
    torch.testing.assert_close(metric.compute(), cross_entropy(logits, target))
    metric.update(*cross_entropy_sum(torch.full((1, 3), torch.nan), torch.tensor([0])))
    assert metric.compute().isnan()
