"""Non-local block of CIRKDv2: every pixel attends to all pixels of its image."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdkd_lightning.losses.masked_batch_norm import MaskedBatchNorm
from fdkd_lightning.losses.pixels import check_width, pixel_rows
from fdkd_lightning.ops.precision import at_least_float32


class NonLocalBlock(nn.Module):
    r"""Add what other pixels of the image hold to each pixel, by attention.

    .. math::
        y = \mathrm{ReLU}(\mathrm{BN}(W_o [x, g])), \quad
        g = \mathrm{ReLU}\Big(\mathrm{BN}\Big(W_g \, \mathrm{softmax}\Big(
        \frac{W_q x (W_k x)^\top}{\sqrt{D / 2}}\Big) W_v x\Big)\Big)

    Pixels that do not count are neither attended to nor part of the normalisation.

    Args:
        features: D, at least 2.

    Shape:
        - x: [N, D, H, W]
        - counted: [N, H, W], bool
        - output: [N, D, H, W]

    Reference:
        winycg/CIRKD, losses/gcn.py.

    Example:
        >>> block = NonLocalBlock(4)
        >>> block(torch.zeros(2, 4, 3, 5), torch.ones(2, 3, 5, dtype=torch.bool)).shape
        torch.Size([2, 4, 3, 5])
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        inner = features // 2
        if not inner:
            raise ValueError(
                f"features={features} cannot be halved by the non-local block: give maps of at "
                "least two channels, or non_local=False"
            )
        self.key = nn.Linear(features, inner, bias=False)
        self.value = nn.Linear(features, inner, bias=False)
        self.query = nn.Linear(features, inner, bias=False)
        self.gathered = nn.Linear(inner, features, bias=False)
        self.gathered_norm = MaskedBatchNorm(features)
        self.out = nn.Linear(2 * features, features, bias=False)
        self.out_norm = MaskedBatchNorm(features)

    def forward(self, x: Tensor, counted: Tensor) -> Tensor:
        """Transform the maps."""
        dtype = self.out.weight.dtype
        rows = pixel_rows(x)
        check_width(rows, self.key.in_features)
        pixels = x.flatten(2).mT.to(dtype)
        attended = counted.flatten(1)
        # An image without pixels that count attends to all, and is left out later.
        attended = attended | ~attended.any(1, keepdim=True)
        with torch.autocast(x.device.type, enabled=False):
            query, key, value = (
                at_least_float32(layer(pixels)) for layer in (self.query, self.key, self.value)
            )
            found = F.scaled_dot_product_attention(query, key, value, attn_mask=attended[:, None])
        mask = counted.flatten()
        gathered = self.gathered(found.flatten(0, 1).to(dtype))
        gathered = self.gathered_norm(gathered, mask).relu()
        both = torch.cat([rows.to(dtype), gathered.to(dtype)], 1)
        out: Tensor = self.out_norm(self.out(both), mask).relu()
        return out.view(len(x), *x.shape[2:], x.shape[1]).movedim(-1, 1)
