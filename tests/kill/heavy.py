"""A user's own module, whose checkpoints take a while to write."""

from typing import Any

import torch
from torch import nn

from fdkd_lightning.types import Output


class Heavy(nn.Module):
    """A network with four megabytes of weights, which change with every step."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.ballast = nn.Parameter(torch.zeros(1_000_000))

    def forward(self, x: Any) -> Output:
        features = self.body(x).relu()
        return Output(features, self.head(features) + self.ballast.mean())
