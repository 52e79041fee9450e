"""Depth maps of whole batches, as a network takes them."""

from torch import Tensor, nn


class NormalizeDepth(nn.Module):
    r"""Distances less their mean, over their deviation; holes stay 0.

    .. math::
        y = \begin{cases} (d - \mathrm{mean}) / \mathrm{std} & d > 0 \\ 0 & d = 0 \end{cases}

    Args:
        mean: Metres; the default is that of the in-painted maps of NYU Depth V2, which ESANet takes
            for the raw ones too (theirs are 2.7690 and 1.3504, without their holes).
        std: Likewise.

    Shape:
        - depth: [N, 1, H, W], metres
        - output: the same

    Raises:
        ValueError: If ``std`` is not above 0.

    Reference:
        Seichter et al., "Efficient RGB-D Semantic Segmentation" (arXiv:2011.06961), TUI-NICR/ESANet
        src/datasets/nyuv2/pytorch_dataset.py (the numbers), src/preprocessing.py (the holes).

    Example:
        >>> import torch
        >>> depth = torch.tensor([0.0, 2.8419, 4.2592]).view(1, 1, 1, 3)
        >>> NormalizeDepth()(depth).flatten().abs().round(decimals=3).tolist()
        [0.0, 0.0, 1.0]
    """

    def __init__(self, mean: float = 2.84195, std: float = 1.41726) -> None:
        super().__init__()
        if not std > 0:
            raise ValueError(f"std={std} must be above 0")
        self.mean = mean
        self.std = std

    def forward(self, depth: Tensor) -> Tensor:
        """The maps, normalised."""
        return ((depth - self.mean) / self.std).masked_fill(depth == 0, 0.0)
