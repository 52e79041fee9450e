"""Normalization of depth maps."""

from torch import Tensor, nn

from fdkd_lightning.ops.checks import check_range
from fdkd_lightning.ops.tensor_checks import check_tensor


class NormalizeDepth(nn.Module):
    r"""Standardize the distances of depth maps; pixels without a measurement stay 0.

    .. math::
        y = \begin{cases} (d - \mathrm{mean}) / \mathrm{std} & d > 0 \\ 0 & d = 0 \end{cases}

    Args:
        mean: Mean distance, metres. The default is the mean of the in-painted maps of NYU Depth
            V2. ESANet uses it for the raw maps too, whose statistics without missing pixels are
            2.7690 and 1.3504.
        std: Standard deviation of the distances, metres; the default has the same source.

    Shape:
        - depth: [N, 1, H, W], metres; 0 where there is no measurement
        - output: [N, 1, H, W]

    Raises:
        TypeError: If an argument has another type.
        ValueError: If ``mean`` or ``std`` is not finite, ``std`` is not above 0, or the maps have
            another shape or are integers, whose unit is not known.

    Reference:
        Seichter et al., "Efficient RGB-D Semantic Segmentation" (arXiv:2011.06961), TUI-NICR/ESANet
        src/datasets/nyuv2/pytorch_dataset.py (the numbers), src/preprocessing.py (missing pixels).

    Example:
        >>> import torch
        >>> depth = torch.tensor([0.0, 2.8419, 4.2592]).view(1, 1, 1, 3)
        >>> NormalizeDepth()(depth).flatten().abs().round(decimals=3).tolist()
        [0.0, 0.0, 1.0]
    """

    def __init__(self, mean: float = 2.84195, std: float = 1.41726) -> None:
        super().__init__()
        check_range("mean", mean)
        check_range("std", std, above=0)
        self.mean = mean
        self.std = std

    def forward(self, depth: Tensor) -> Tensor:
        """Standardize the maps."""
        check_tensor("depth", depth, "[N, 1, H, W] in metres")
        return ((depth - self.mean) / self.std).masked_fill(depth == 0, 0.0)
