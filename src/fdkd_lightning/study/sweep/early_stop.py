"""W&B's rule of early termination: Hyperband's brackets, without its allocation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EarlyStop:
    """Stop a trial that is not in the best ``1 / eta`` of all trials at a band.

    Args:
        bands: Numbers of validations after which trials are compared, ascending.
        eta: The best 1 / eta go on.
        strict: Compare the value at the band; otherwise the best value so far.

    Reference:
        Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", 2017;
        the rule is that of the package ``sweeps`` 0.3, which W&B's service runs.
    """

    bands: tuple[int, ...]
    eta: float
    strict: bool = True

    def stops(
        self, history: Sequence[float], histories: Sequence[Sequence[float]], maximize: bool
    ) -> bool:
        """Return whether a trial ends.

        Args:
            history: The trial's values of the metric, one per validation.
            histories: Those of all trials, this one among them.
            maximize: Whether higher is better.

        Example:
            >>> rule = EarlyStop((1, 2), 2)
            >>> rule.stops([10, 10], [[10, 9], [10, 8], [10, 10]], maximize=False)
            True
        """
        sign = -1 if maximize else 1
        losses = [sign * value for value in history]
        reached = [band for band in self.bands if band <= len(losses)]
        if not reached:
            return False
        band = reached[-1]
        rivals = sorted(sign * values[band - 1] for values in histories if len(values) >= band)
        value = losses[band - 1] if self.strict else min(losses)
        return value > rivals[int(len(rivals) / self.eta)]


def read_early_stop(entry: Any) -> EarlyStop:
    """Read the section ``early_terminate``.

    Example:
        >>> read_early_stop({"type": "hyperband", "max_iter": 27, "s": 2}).bands
        (3, 9)
    """
    if not isinstance(entry, dict) or entry.get("type") != "hyperband":
        raise ValueError(
            f"early_terminate={entry!r}: give {{type: hyperband, min_iter: 5}}, or remove it"
        )
    for key in entry.keys() - {"type", "min_iter", "max_iter", "s", "eta", "strict"}:
        raise ValueError(f"early_terminate.{key} is not a key of hyperband: remove it")
    eta, strict = entry.get("eta", 3), entry.get("strict", True)
    if not isinstance(eta, int | float) or not 1 < eta < math.inf:
        raise ValueError(f"early_terminate.eta={eta!r} must be a number above 1: correct it")
    if not isinstance(strict, bool):
        raise ValueError(f"early_terminate.strict={strict!r} must be true or false: correct it")
    first = "max_iter" if "max_iter" in entry else "min_iter"
    for key in (first, *(["s"] if first == "max_iter" else [])):
        value = entry.get(key)
        if type(value) is not int or value < 1:
            raise ValueError(
                f"early_terminate.{key}={value!r} must be a whole number of at least 1: give "
                "min_iter, or max_iter and s"
            )
    if first == "min_iter":
        bands = [entry["min_iter"] * eta**power for power in range(100)]
    else:
        bands = [entry["max_iter"] / eta ** (power + 1) for power in range(entry["s"])]
    whole = tuple(sorted({int(band) for band in bands if 1 <= band < 1e9}))
    if not whole:
        raise ValueError(f"early_terminate={entry!r} compares at no validation: lower eta or s")
    return EarlyStop(whole, eta, strict)
