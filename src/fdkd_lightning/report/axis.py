"""The axis of a figure: its range, its ticks, and where a value is, in percent of its length."""

import math
from collections.abc import Iterable
from typing import NamedTuple


class Axis(NamedTuple):
    """A linear axis.

    Args:
        low: Value at 0 %.
        high: Value at 100 %.
        ticks: Round values within.

    Example:
        >>> axis = Axis(-10.0, 10.0, (-10.0, 0.0, 10.0))
        >>> axis.place(5), axis.place(99)
        (75.0, 100.0)
    """

    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Return where a value is, in percent; one beyond an end is at that end."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)


def make_axis(values: Iterable[float], ticks: int = 4) -> Axis:
    """Return an axis that ends at round values and holds all finite ones.

    Args:
        values: What it is to hold; without a finite one the axis is from 0 to 1.
        ticks: About how many steps lie between its ends.

    Example:
        >>> make_axis([0.0, -3.2, 21.0]).ticks
        (-10.0, 0.0, 10.0, 20.0, 30.0)
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    width = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(width / ticks))
    step = next(power * k for k in (1, 2, 5, 10) if power * k * ticks >= width * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    # Rounded, because 3 * 0.1 is not 0.3.
    marks = tuple(float(f"{k * step:.10g}") for k in range(first, last + 1))
    return Axis(marks[0], marks[-1], marks)
