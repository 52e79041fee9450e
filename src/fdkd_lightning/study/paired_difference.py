"""Paired differences between methods over the same seeds, and their significance."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from scipy import stats

from fdkd_lightning.ops.checks import check_range


class Difference(NamedTuple):
    """Mean paired difference with its confidence interval.

    Shape:
        - mean, low, high: in the unit of the scores
        - n: number of seeds
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def sign(self) -> int:
        """1 if the interval is above 0, -1 if below, 0 if it includes 0 or is nan."""
        return int(self.low > 0) - int(self.high < 0)


def paired_difference(
    method: Sequence[float], reference: Sequence[float], confidence: float = 0.95
) -> Difference:
    r"""Mean difference of two methods paired by seed, with Student's confidence interval.

    .. math:: \bar d \pm t_{n-1,\,(1 + c) / 2} \; s_d / \sqrt n

    Args:
        method: Scores of the method, one per seed; a seed with a NaN, a failed run, is left out.
        reference: Scores of the reference, in the same order of seeds.
        confidence: Confidence level c, between 0 and 1.

    Returns:
        The difference; with fewer than two seeds, or a score that is nan, the interval is nan.

    Reference:
        scipy.stats.ttest_rel.

    Example:
        >>> difference = paired_difference([3.0, 4.0, 5.0], [1.0, 1.0, 1.0])
        >>> difference.mean, round(difference.low, 3), round(difference.high, 3)
        (3.0, 0.516, 5.484)
    """
    check_range("confidence", confidence, above=0, below=1, example=0.95)
    if len(method) != len(reference) or not method:
        raise ValueError(
            f"method has {len(method)} scores, reference {len(reference)}: give one score of each "
            "for every seed, at least one seed"
        )
    pairs = zip(method, reference, strict=True)
    differences = [a - b for a, b in pairs if not (math.isnan(a) or math.isnan(b))]
    n = len(differences)
    if n == 0:
        return Difference(math.nan, math.nan, math.nan, 0)
    mean = math.fsum(differences) / n
    if n < 2 or not math.isfinite(mean):
        return Difference(mean, math.nan, math.nan, n)
    if max(differences) - min(differences) < 1e-12 * max(
        abs(x) for x in (*method, *reference) if not math.isnan(x)
    ):
        # All equal up to rounding errors, which scipy would amplify.
        return Difference(mean, mean, mean, n)
    return Difference(mean, *_interval(tuple(differences), confidence), n)


# A report asks for each several times, and scipy takes a millisecond.
@lru_cache(maxsize=4096)
def _interval(differences: tuple[float, ...], confidence: float) -> tuple[float, float]:
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(confidence)
    return float(low), float(high)


def transfer_lines(scores: Mapping[str, Sequence[float]], method: str) -> list[str]:
    r"""Compare a method with its controls, a line each, and conclude: none before two seeds.

    Args:
        scores: Arm -> one score per seed, fractions; all but the method are controls.
        method: The arm that learns from the teacher; it is compared in percentage points.

    Raises:
        ValueError: If the method is no arm, or the only one.

    Example:
        >>> scores = {"alone": [0.5, 0.6, 0.5], "shuffled": [0.5, 0.5, 0.5], "KD": [0.7, 0.8, 0.7]}
        >>> print(*transfer_lines(scores, "KD"), sep="\n")
        KD - alone: +20.0 points [+20.0, +20.0]: significantly higher
        KD - shuffled: +23.3 points [+9.0, +37.7]: significantly higher
        transfer is shown: above each control
    """
    if method not in scores or len(scores) < 2:
        raise ValueError(
            f"method={method!r} and scores of {', '.join(scores) or 'nothing'}: give the scores of "
            "the method and of one control or more"
        )
    if len(scores[method]) < 2:
        return []
    verdicts = {1: "significantly higher", 0: "no significant difference"}
    verdicts[-1] = "significantly lower"
    lines, signs = [], []
    for control in (name for name in scores if name != method):
        gain = paired_difference(scores[method], scores[control])
        if gain.n < 2:  # the others failed
            lines.append(f"{method} - {control}: fewer than two seeds of both: no interval")
            signs.append(0)
            continue
        mean, low, high = (100 * x for x in (gain.mean, gain.low, gain.high))
        verdict = verdicts[gain.sign]
        lines.append(
            f"{method} - {control}: {mean:+.1f} points [{low:+.1f}, {high:+.1f}]: {verdict}"
        )
        signs.append(gain.sign)
    shown = "is shown: above" if min(signs) > 0 else "is not shown: not above"
    return [*lines, f"transfer {shown} each control"]


def leader(scores: Mapping[str, Sequence[float]]) -> tuple[str, bool]:
    """Return the method with the highest mean, and whether its lead is significant.

    The lead is significant if the method is higher than every other one, each in a one-sided
    paired t-test at level 0.05 / (methods - 1) (Bonferroni). To name a wrong winner, the test
    against the truly best method must reject falsely. At most methods - 1 such tests exist, so a
    wrong winner is named in at most 5 % of studies. A method with a score that is nan is not
    ranked; no lead over it is significant.

    Example:
        >>> leader({"a": [1.0, 1.1, 0.9, 1.0], "b": [0.1, 0.2, 0.1, 0.2]})
        ('a', True)
        >>> leader({"a": [1.0, 2.0], "b": [0.5, 2.1]})
        ('a', False)
    """
    # NaN would be a maximum or not, depending on the order.
    ranked = [name for name in scores if scores[name] and all(map(math.isfinite, scores[name]))]
    if not ranked:
        raise ValueError(
            f"scores={dict(scores)} must hold at least one method with finite scores, one per seed"
        )
    scores = {name: scores[name] for name in ranked}
    best = max(scores, key=lambda name: math.fsum(scores[name]))
    others = [name for name in scores if name != best]
    # The lower end of a two-sided interval is a one-sided bound at half the error.
    confidence = 1 - 2 * 0.05 / max(len(others), 1)
    return best, all(
        paired_difference(scores[best], scores[name], confidence).low > 0 for name in others
    )
