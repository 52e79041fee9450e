"""Signed logarithm: compress large values, keep the sign."""

import torch
from torch import Tensor, nn

from fdkd_lightning.ops.tensor_checks import check_tensor


def signed_log1p(x: Tensor) -> Tensor:
    r"""Compress large values and keep the sign: :math:`\sigma(x) = \mathrm{sign}(x) \log(1 + |x|)`.

    The derivative is :math:`1 / (1 + |x|)` everywhere. Automatic differentiation of the formula as
    written gives a zero gradient at x = 0; this implementation gives the correct one, 1.

    Args:
        x: Any values.

    Shape:
        - x, output: any, the same

    Raises:
        TypeError: If x is no tensor.
        ValueError: If x is not floating-point.

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 6.

    Example:
        >>> signed_log1p(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([-0.6931,  0.0000,  0.6931])
    """
    check_tensor("x", x, "of any shape", *range(8))
    # |x| has the gradient 0 at 0, so each half has 1/2 there: together exactly 1.
    positive, negative = (x.abs() + x) / 2, (x.abs() - x) / 2
    return torch.log1p(positive) - torch.log1p(negative)


class SignedLog1p(nn.Module):
    """:func:`signed_log1p` as a module.

    Shape:
        - x, output: any, the same

    Example:
        >>> SignedLog1p()(torch.tensor([-1.0, 1.0]))
        tensor([-0.6931,  0.6931])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply :func:`signed_log1p`."""
        return signed_log1p(x)
