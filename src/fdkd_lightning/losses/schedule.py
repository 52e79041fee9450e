"""Weights that change with the epoch, the one training state that a loss may see."""

import math
from abc import ABC, abstractmethod


class WeightSchedule(ABC):
    """A factor for each epoch.

    A subclass of one's own fits wherever the ready ones do.

    Example:
        >>> class Late(WeightSchedule):
        ...     def __call__(self, epoch: int) -> float:
        ...         return float(epoch >= 10)
        >>> Late()(9), Late()(10)
        (0.0, 1.0)
    """

    @abstractmethod
    def __call__(self, epoch: int) -> float:
        """The factor in an epoch.

        Args:
            epoch: Counted from 0.
        """


class WarmUp(WeightSchedule):
    r"""Grow in equal steps to 1: :math:`\min((e + 1) / E, 1)` in epoch e, counted from 0.

    Args:
        epochs: E, the first epoch (counted from 1) with the whole weight.

    Raises:
        ValueError: If ``epochs`` is below 1.

    Reference:
        megvii-research/mdistiller, distillers/DKD.py, which counts epochs from 1.

    Example:
        >>> [WarmUp(4)(epoch) for epoch in range(6)]
        [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """

    def __init__(self, epochs: int = 20) -> None:
        self.epochs = _positive(epochs)

    def __call__(self, epoch: int) -> float:
        """The factor in an epoch."""
        return min((epoch + 1) / self.epochs, 1.0)


class CosineDecay(WeightSchedule):
    r"""Fall from 1 along half a cosine.

    .. math:: f + (1 - f) \cdot \tfrac12 (1 + \cos(\pi \min(e / E, 1)))

    Args:
        epochs: E, the epoch (counted from 0) from which on the factor is ``final``.
        final: f.

    Raises:
        ValueError: If ``epochs`` is below 1.

    Example:
        >>> [round(CosineDecay(2, final=0.1)(epoch), 4) for epoch in range(4)]
        [1.0, 0.55, 0.1, 0.1]
    """

    def __init__(self, epochs: int, final: float = 0.0) -> None:
        self.epochs = _positive(epochs)
        self.final = final

    def __call__(self, epoch: int) -> float:
        """The factor in an epoch."""
        share = (1 + math.cos(math.pi * min(epoch / self.epochs, 1.0))) / 2
        return self.final + (1 - self.final) * share


def _positive(epochs: int) -> int:
    if epochs < 1:
        raise ValueError(f"epochs={epochs} must be at least 1; without a schedule give a number")
    return epochs
