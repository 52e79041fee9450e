"""What every split is, and the arithmetic that all of them share."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from fdkd_lightning.ops.precision import at_least_float32
from fdkd_lightning.types import Bands


class Decoupler(nn.Module, ABC):
    """Anything that splits features into two bands along its axis ``dim``.

    The losses know nothing else of a split: a subclass with another basis fits wherever
    :class:`FrequencyDecoupler` does. Its parameters, if it has any, are learned with the student.

    Args:
        dim: The axis to split along.
    """

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    @abstractmethod
    def forward(self, x: Tensor) -> Bands:
        """Split ``x`` into its low and high band."""

    def terms(self) -> dict[str, Tensor]:
        """Weighted terms on the split's own parameters, added to the loss; none by default."""
        return {}

    def logged_values(self) -> dict[str, Tensor]:
        """Values to be logged beside the terms, without gradients; none by default."""
        return {}


def split(x: Tensor, dim: int, keep_dc: bool, low_part: Callable[[Tensor], Tensor]) -> Bands:
    """Bands of which the low one is a linear map of ``x`` without its mean.

    The high band is what the low one leaves, so that nothing is lost whatever the map. Computed
    in float32 (float64 for float64 input).

    Args:
        x: Features of any rank.
        dim: The axis to split along.
        keep_dc: Put the mean into the low band, not into none.
        low_part: From mean-free features, their axis last, to their low band, mean-free as well.
    """
    x = at_least_float32(x)
    mean = x.mean(dim, keepdim=True)
    # Centred before anything else, so that a large mean costs the bands no precision; twice,
    # since the first mean is rounded at its own size.
    centred = x - mean
    rest = centred.mean(dim, keepdim=True)
    centred = centred - rest
    low = low_part(centred.movedim(dim, -1)).movedim(-1, dim)
    high = centred - low
    return Bands(low + rest + mean if keep_dc else low, high)


def check_threshold(threshold: float) -> None:
    """Raise unless the threshold is in (0, 1)."""
    if not 0 < threshold < 1:
        raise ValueError(
            f"threshold={threshold} is outside (0, 1): it is the share of the non-zero "
            "frequencies that goes into the low band, for example 0.5"
        )


def last_low_bin(threshold: float, size: int, last: int, least: int = 4) -> int:
    """The last bin of the low band, of the non-zero frequencies 1..last of features of a size.

    Args:
        threshold: Share of these bins, in (0, 1).
        size: D.
        last: The last bin.
        least: The smallest D that gives two bins.

    Raises:
        ValueError: If a band is left without a bin.
    """
    # 0.29 * 100 is 28.999999999999996: without the epsilon the cut would fall a bin short.
    cut = math.floor(threshold * last + 1e-9)
    if cut < 1 or cut >= last:
        band = "low" if cut < 1 else "high"
        remedy = (
            f"choose a threshold from {math.ceil(1e6 / last) / 1e6:g} to below 1"
            if last > 1
            else f"features need a size of at least {least} to have two bands"
        )
        raise ValueError(
            f"threshold={threshold} leaves the {band} band of features of size {size} empty "
            f"(their non-zero frequencies are the bins 1..{last}): {remedy}"
        )
    return cut
