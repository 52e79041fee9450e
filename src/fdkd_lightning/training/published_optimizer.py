"""The optimizer of the published code."""

from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, Optimizer


def published_sgd(params: Iterable[nn.Parameter]) -> Optimizer:
    """Return SGD with learning rate 0.01, momentum 0.9 and no weight decay.

    Args:
        params: The parameters to train.

    Reference:
        ``zxn0710/re-FD-CMKD-main``.

    Example:
        >>> published_sgd(nn.Linear(2, 2).parameters()).defaults["lr"]
        0.01
    """
    return SGD(params, lr=0.01, momentum=0.9)
