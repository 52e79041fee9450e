"""The proxy of dense C2KD: a classifier of each position of a map."""

import copy

from torch import Tensor, nn

from fdkd_lightning.losses.masked_batch_norm import MaskedBatchNorm
from fdkd_lightning.losses.pixels import check_width, pixel_rows


class PixelProxy(nn.Module):
    """Classifier of each position of a map: linear, BatchNorm, activation, linear.

    Args:
        channels: C.
        classes: K.
        activation: The activation, which is copied.

    Shape:
        - x: [N, C, H, W]
        - counted: [N, H, W], bool: the positions that BatchNorm sees
        - output: [N, K, H, W]

    Reference:
        Gray-OREO/MST-Distill, KD_methods/C2KD.py (ProxyNet_resoFixed).

    Example:
        >>> import torch
        >>> proxy = PixelProxy(4, 3, nn.ReLU())
        >>> proxy(torch.zeros(2, 4, 5, 6), torch.ones(2, 5, 6, dtype=torch.bool)).shape
        torch.Size([2, 3, 5, 6])
    """

    def __init__(self, channels: int, classes: int, activation: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels, bias=False)
        self.norm = MaskedBatchNorm(channels)
        self.activation = copy.deepcopy(activation)
        self.classifier = nn.Linear(channels, classes)
        for layer in (self.linear, self.classifier):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor, counted: Tensor) -> Tensor:
        """Compute the class scores."""
        dtype = self.linear.weight.dtype
        pixels = pixel_rows(x)
        check_width(pixels, self.linear.in_features)
        hidden = self.norm(self.linear(pixels.to(dtype)), counted.flatten())
        rows = self.classifier(self.activation(hidden).to(dtype)).to(x.dtype)
        scores: Tensor = rows.view(len(x), *x.shape[2:], rows.shape[1]).movedim(-1, 1)
        return scores
