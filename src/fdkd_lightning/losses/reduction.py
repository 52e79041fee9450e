"""Reduction of a distance over the channels: their mean or their sum."""

from abc import ABC, abstractmethod


class ChannelReduction(ABC):
    """Base class of factors that convert a mean over N and D into another reduction.

    Example:
        >>> class RootOfChannels(ChannelReduction):
        ...     def __call__(self, size: int) -> float:
        ...         return size**0.5
        >>> RootOfChannels()(64)
        8.0
    """

    @abstractmethod
    def __call__(self, size: int) -> float:
        """Compute the factor of a distance that is a mean over all elements.

        Args:
            size: D, the number of channels.
        """


class MeanOverChannels(ChannelReduction):
    """Average a distance over N and D: the factor is 1.

    Between vectors of length 1 the mean squared difference is at most 4/D, far below a
    cross-entropy.

    Reference:
        FD-CMKD (arXiv 2511.19887), Eq. 8-9.

    Example:
        >>> MeanOverChannels()(512)
        1
    """

    def __call__(self, size: int) -> int:
        """Return 1."""
        return 1


class SumOverChannels(ChannelReduction):
    """Sum a distance over D and average it over N: the factor is D.

    It equals weights D times as large, for any D, and has the scale of a cross-entropy. It is not
    in the paper.

    Example:
        >>> SumOverChannels()(512)
        512
    """

    def __call__(self, size: int) -> int:
        """Return D."""
        return size
