import torch
from torch import nn

from fdkd_lightning.training.published_optimizer import published_sgd


def test_it_is_sgd_with_momentum_and_no_weight_decay() -> None:
    weight = nn.Parameter(torch.tensor(2.0))
    optimizer = published_sgd([weight])
    expected, velocity = 2.0, 0.0
    for _ in range(2):
        weight.grad = torch.tensor(1.0)
        optimizer.step()
        velocity = 0.9 * velocity + 1
        expected -= 0.01 * velocity
    torch.testing.assert_close(weight.item(), expected)
