"""A small network for signals, such as those of motion sensors."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.ops.tensor_checks import check_tensor
from fdkd_lightning.types import Output


class ConvNet1d(nn.Module):
    r"""Three or more 1-D convolutions with BatchNorm and ReLU, averaged over time.

    The fully convolutional network for time series, smaller: each convolution has stride 2, so that
    a window of two seconds trains in milliseconds on a CPU. The features are the mean of the last
    map over time, from which the classifier predicts.

    Args:
        num_classes: Number of classes K.
        in_chans: Channels of the signal, such as 3 axes.
        channels: Channels of each convolution; the last is D.
        kernel_sizes: Samples that each convolution spans, odd.

    Shape:
        - x: [N, in_chans, T], T the samples in time
        - features: [N, D]
        - logits: [N, K]
        - maps: one per convolution, [N, channels[i], T', 1], each after its ReLU

    Raises:
        TypeError: If a number is no whole number.
        ValueError: If a number is below 1 or ``kernel_sizes`` does not fit; by a forward pass, if
            the input is not [N, in_chans, T].

    Reference:
        Z. Wang et al., "Time Series Classification from Scratch with Deep Neural Networks: A Strong
        Baseline", IJCNN 2017 (there 128, 256, 128 channels, kernels of 8, 5, 3, and no stride).

    Example:
        >>> output = ConvNet1d(num_classes=7)(torch.randn(2, 3, 100))
        >>> output.features.shape, output.logits.shape, output.maps[-1].shape
        (torch.Size([2, 64]), torch.Size([2, 7]), torch.Size([2, 64, 13, 1]))
    """

    def __init__(
        self,
        num_classes: int,
        in_chans: int = 3,
        channels: Sequence[int] = (32, 64, 64),
        kernel_sizes: Sequence[int] = (9, 5, 3),
    ) -> None:
        super().__init__()
        check_count("num_classes", num_classes, example=7)
        check_count("in_chans", in_chans, example=3)
        for name, values in (("channels", channels), ("kernel_sizes", kernel_sizes)):
            if not isinstance(values, Sequence) or isinstance(values, str) or not values:
                raise ValueError(f"{name}={values!r} must be numbers, one per convolution")
            for value in values:
                check_count(name, value)
        if len(kernel_sizes) != len(channels) or not all(size % 2 for size in kernel_sizes):
            raise ValueError(
                f"kernel_sizes={list(kernel_sizes)} must be odd, and one for each of the "
                f"{len(channels)} channels"
            )
        widths = (in_chans, *channels)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(before, after, size, stride=2, padding=size // 2, bias=False),
                nn.BatchNorm1d(after),
                nn.ReLU(),
            )
            for before, after, size in zip(widths, channels, kernel_sizes, strict=False)
        )
        self.fc = nn.Linear(channels[-1], num_classes)
        self.in_chans = in_chans

    def forward(self, x: Tensor) -> Output:
        """Return features, logits and the maps of the convolutions."""
        check_tensor("x", x, f"[N, {self.in_chans}, T]", 3)
        if x.shape[1] != self.in_chans:
            raise ValueError(
                f"x has shape {list(x.shape)}: give [N, {self.in_chans}, T], or another in_chans"
            )
        maps = []
        for stage in self.stages:
            x = stage(x)
            # As a grid of width 1: of a map of height 1, losses take zeros for padding.
            maps.append(x.unsqueeze(3))
        features = torch.mean(x, -1)
        return Output(features, self.fc(features), tuple(maps))
