"""Average pooling of maps over the pixels that count."""

import torch.nn.functional as F
from torch import Tensor


def masked_pool(x: Tensor, counted: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Average blocks of pixels over those that count; blocks at the border may be smaller.

    Args:
        x: Maps, zero where a pixel does not count.
        counted: The pixels that count.
        size: Height and width of a block.

    Returns:
        The pooled maps, zero where no pixel of a block counts, and the blocks where one does.

    Shape:
        - x: [N, C, H, W]
        - counted: [N, H, W], bool
        - output: [N, C, H', W'] and [N, H', W'], with H' and W' rounded up

    Example:
        >>> import torch
        >>> x = torch.tensor([[[[2.0, 4.0, 0.0]]]])
        >>> masked_pool(x, torch.tensor([[[True, True, False]]]), 2)
        (tensor([[[[3., 0.]]]]), tensor([[[ True, False]]]))
    """
    if size == 1:
        return x, counted
    if not len(x):
        height, width = (-(-n // size) for n in x.shape[2:])
        return x[..., :height, :width], counted[..., :height, :width]
    share = F.avg_pool2d(counted[:, None].to(x.dtype), size, ceil_mode=True)
    pooled = F.avg_pool2d(x, size, ceil_mode=True)
    kept = share > 0
    return pooled / share.where(kept, 1.0), kept[:, 0]
