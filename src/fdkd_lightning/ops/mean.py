"""Means and mean squared errors that are zero, with a gradient of zero, for an empty batch."""

from torch import Tensor
from torch.nn import functional as F


def mean(x: Tensor) -> Tensor:
    """Average all elements; the mean of none is 0, with a gradient.

    ``torch.mean`` of no elements is NaN, and a rank whose batch has no sample for a loss would
    spoil the weights of all ranks.

    Example:
        >>> import torch
        >>> mean(torch.tensor([1.0, 3.0])), mean(torch.zeros(0))
        (tensor(2.), tensor(0.))
    """
    return x.mean() if x.numel() else x.sum()


def mean_squared_error(x: Tensor, y: Tensor) -> Tensor:
    """Average the squared differences of all elements; :func:`mean` of none.

    Shape:
        - x, y: any, the same
        - output: scalar
    """
    # Not mean((x - y) ** 2), whose last bit differs.
    return F.mse_loss(x, y) if x.numel() else (x - y).sum()
