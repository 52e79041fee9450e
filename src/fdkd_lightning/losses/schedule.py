"""Schedules of a loss's weight over the epochs."""

import math
from abc import ABC, abstractmethod

from fdkd_lightning.ops.checks import check_count, check_weights


class WeightSchedule(ABC):
    """Base class of weight schedules: a factor for each epoch.

    A subclass can be used wherever :class:`WarmUp` and :class:`CosineDecay` can.

    Example:
        >>> class Late(WeightSchedule):
        ...     def __call__(self, epoch: int) -> float:
        ...         return float(epoch >= 10)
        >>> Late()(9), Late()(10)
        (0.0, 1.0)
    """

    @abstractmethod
    def __call__(self, epoch: int) -> float:
        """Compute the factor of an epoch.

        Args:
            epoch: Counted from 0.
        """


class WarmUp(WeightSchedule):
    r"""Increase linearly to 1: :math:`\min((e + 1) / E, 1)` in epoch e, counted from 0.

    Args:
        epochs: E, the number of the first epoch, counted from 1, with the full weight.

    Raises:
        ValueError: If ``epochs`` is below 1.

    Reference:
        megvii-research/mdistiller, distillers/DKD.py, which counts epochs from 1.

    Example:
        >>> [WarmUp(4)(epoch) for epoch in range(6)]
        [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """

    def __init__(self, epochs: int = 20) -> None:
        check_count("epochs", epochs, example=20)
        self.epochs = epochs

    def __call__(self, epoch: int) -> float:
        """Compute the factor of an epoch."""
        return min((epoch + 1) / self.epochs, 1.0)


class CosineDecay(WeightSchedule):
    r"""Decrease from 1 to a final value along half a cosine, in epoch e, counted from 0.

    .. math:: f + (1 - f) \cdot \tfrac12 (1 + \cos(\pi \min(e / E, 1)))

    Args:
        epochs: E; from this epoch on the factor is ``final``.
        final: f, the final factor, at least 0.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If ``epochs`` is below 1, or ``final`` negative.

    Example:
        >>> [round(CosineDecay(2, final=0.1)(epoch), 4) for epoch in range(4)]
        [1.0, 0.55, 0.1, 0.1]
    """

    def __init__(self, epochs: int, final: float = 0.0) -> None:
        check_count("epochs", epochs, example=20)
        check_weights(final=final)
        self.epochs = epochs
        self.final = final

    def __call__(self, epoch: int) -> float:
        """Compute the factor of an epoch."""
        share = (1 + math.cos(math.pi * min(epoch / self.epochs, 1.0))) / 2
        return self.final + (1 - self.final) * share
