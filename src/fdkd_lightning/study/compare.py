"""Differences between methods that ran on the same seeds, and what may be said of them."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scipy import stats


class Difference(NamedTuple):
    """A mean paired difference with its confidence interval."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def sign(self) -> int:
        """1 if the interval is above 0, -1 if below, 0 if it holds 0 or there is none."""
        return int(self.low > 0) - int(self.high < 0)


def paired_difference(
    method: Sequence[float], reference: Sequence[float], confidence: float = 0.95
) -> Difference:
    r"""Mean difference of two methods seed by seed, with Student's interval.

    .. math:: \bar d \pm t_{n-1,\,(1 + c) / 2} \; s_d / \sqrt n

    Args:
        method: One value per seed.
        reference: The reference's, in the same order of seeds.
        confidence: c.

    Returns:
        The difference; with fewer than two seeds its interval is nan.

    Shape:
        - method, reference: n values each

    Reference:
        scipy.stats.ttest_rel.

    Example:
        >>> difference = paired_difference([3.0, 4.0, 5.0], [1.0, 1.0, 1.0])
        >>> difference.mean, round(difference.low, 3), round(difference.high, 3)
        (3.0, 0.516, 5.484)
    """
    differences = [a - b for a, b in zip(method, reference, strict=True)]
    n = len(differences)
    mean = math.fsum(differences) / n
    if n < 2:
        return Difference(mean, math.nan, math.nan, n)
    if max(differences) - min(differences) < 1e-12 * max(map(abs, (*method, *reference))):
        return Difference(mean, mean, mean, n)  # equal but for rounding, which scipy would amplify
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(confidence)
    return Difference(mean, float(low), float(high), n)


def leader(scores: Mapping[str, Sequence[float]]) -> tuple[str, bool]:
    """The method with the best mean, and whether it may be called the winner.

    It may where it is above every other one, each at a one-sided level of 0.05 / (methods - 1).
    Whoever is truly best, calling another one the winner needs a false rejection against it; of
    these there are methods - 1, so that a false winner is named in at most 5 % of studies.

    Args:
        scores: Method -> one value per seed, all in the same order.

    Example:
        >>> leader({"a": [1.0, 1.1, 0.9, 1.0], "b": [0.1, 0.2, 0.1, 0.2]})
        ('a', True)
        >>> leader({"a": [1.0, 2.0], "b": [0.5, 2.1]})
        ('a', False)
    """
    best = max(scores, key=lambda name: math.fsum(scores[name]))
    others = [name for name in scores if name != best]
    # The lower end of a two-sided interval is one-sided at half its error.
    confidence = 1 - 2 * 0.05 / max(len(others), 1)
    return best, all(
        paired_difference(scores[best], scores[name], confidence).low > 0 for name in others
    )
