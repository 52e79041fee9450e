"""Time functions side by side."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from fdkd_lightning.ops.checks import check_count, check_range

MOST_REPEATS = 1000
"""Beyond it, quartiles of a distribution no longer change."""


class Timing(NamedTuple):
    """Seconds of the repeats of one function.

    Args:
        median: Their median.
        minimum: The fastest; on a machine that others use too, it varies least.
        quartiles: The first and the third quartile.
        seconds: Those of each repeat.
    """

    median: float
    minimum: float
    quartiles: tuple[float, float]
    seconds: tuple[float, ...]

    def over(self, other: "Timing") -> float:
        """Return the median of the ratios to another function's repeats, round by round.

        Two functions that take turns meet the same state of the machine in each round.
        """
        pairs = zip(self.seconds, other.seconds, strict=True)
        return statistics.median(mine / its for mine, its in pairs)


class Limits(NamedTuple):
    """Least number of calls, and least duration, of a measurement.

    Args:
        repeats: Timed calls of each function, at least.
        seconds: Further calls follow until a group of functions has taken so long.
    """

    repeats: int = 5
    seconds: float = 0.0

    def checked(self) -> "Limits":
        """Return itself.

        Raises:
            TypeError, ValueError: If a number is out of range.
        """
        check_count("repeats", self.repeats, 2, example=5)
        check_range("seconds", self.seconds, 0, example=2)
        return self


LEAST = Limits()


def measure(
    functions: Mapping[str, Callable[[], object]],
    limits: Limits = LEAST,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time functions in turn, again and again, so that all meet the same state of the machine.

    Each is called once before, untimed; every other round runs them in reverse order. On a GPU each
    call is followed by a synchronisation, which is timed with it.

    Args:
        functions: Functions without arguments, by name.
        limits: How often each is called.
        clock: Returns seconds; ``time.process_time`` leaves out what other processes take.

    Raises:
        TypeError, ValueError: If a limit is out of range.

    Example:
        >>> timings = measure({"short": lambda: 0, "long": lambda: sum(range(100_000))})
        >>> timings["short"].minimum < timings["long"].minimum
        True
    """

    def timed(function: Callable[[], object]) -> Callable[[], float]:
        def seconds() -> float:
            synchronize()
            start = clock()
            function()
            synchronize()
            return clock() - start

        return seconds

    return interleave({name: timed(f) for name, f in functions.items()}, limits, clock)


def interleave(
    functions: Mapping[str, Callable[[], float]],
    limits: Limits = LEAST,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Call functions that return seconds in turn; see :func:`measure`.

    Example:
        >>> interleave({"a": lambda: 2.0}, Limits(repeats=3))["a"].median
        2.0
    """
    limits.checked()
    for function in functions.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    start = clock()
    for number in range(MOST_REPEATS):
        if number >= limits.repeats and clock() - start >= limits.seconds:
            break
        names = list(functions)
        for name in names if number % 2 == 0 else reversed(names):
            seconds[name].append(functions[name]())
    return {name: timing_of(values) for name, values in seconds.items()}


def timing_of(seconds: Sequence[float]) -> Timing:
    """Return median, minimum and quartiles.

    Example:
        >>> timing_of([3.0, 1.0, 2.0, 5.0, 4.0])[:3]
        (3.0, 1.0, (2.0, 4.0))
    """
    if len(seconds) == 1:
        return Timing(seconds[0], seconds[0], (seconds[0], seconds[0]), tuple(seconds))
    first, median, third = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(median, min(seconds), (first, third), tuple(seconds))


def synchronize() -> None:
    """Wait for the GPU, if one is in use."""
    # Whether there is one is asked of the driver each time, once Lightning is imported: 40 us.
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch does not annotate it
        torch.cuda.synchronize()
