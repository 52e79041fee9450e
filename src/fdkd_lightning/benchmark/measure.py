"""Time functions side by side."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from fdkd_lightning.ops.checks import check_count


class Timing(NamedTuple):
    """Seconds of the repeats of one function.

    Args:
        median: Their median.
        minimum: The fastest; on a machine that others use too, it varies least.
        quartiles: The first and the third quartile.
    """

    median: float
    minimum: float
    quartiles: tuple[float, float]


def measure(
    functions: Mapping[str, Callable[[], object]],
    repeats: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time functions in turn, again and again, so that all meet the same state of the machine.

    Each is called once before, untimed. On a GPU each function has to wait for its own result.

    Args:
        functions: Functions without arguments, by name.
        repeats: Timed calls of each, at least 2.
        clock: Returns seconds; ``time.process_time`` leaves out what other processes take.

    Raises:
        ValueError: If ``repeats`` is below 2.

    Example:
        >>> timings = measure({"short": lambda: 0, "long": lambda: sum(range(100_000))})
        >>> timings["short"].minimum < timings["long"].minimum
        True
    """
    check_count("repeats", repeats, 2, example=5)
    for function in functions.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = clock()
            function()
            seconds[name].append(clock() - start)
    return {name: _timing(values) for name, values in seconds.items()}


def _timing(seconds: list[float]) -> Timing:
    first, median, third = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(median, min(seconds), (first, third))
