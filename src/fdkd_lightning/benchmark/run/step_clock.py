"""Seconds of the parts of a step, each without the parts within it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fdkd_lightning.benchmark.measure import synchronize

OTHER = "other"
"""Everything that no part covers: callbacks, logging, the training loop."""


class StepClock:
    """Divide the time of a step among its parts.

    Parts nest: while an inner one runs, the clock of the outer one stands still, so that the parts
    of a step add up to the step.

    Args:
        clock: Returns seconds.
        wait: Called before the clock is read; the default waits for the GPU.

    Example:
        >>> ticks = iter(range(100))
        >>> clock = StepClock(lambda: next(ticks))
        >>> with clock.part("optimizer"), clock.part("student"):
        ...     pass
        >>> clock.end_step()
        >>> clock.steps
        [{'other': 2, 'optimizer': 2, 'student': 1}]
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        wait: Callable[[], None] = synchronize,
    ) -> None:
        self.clock, self.wait = clock, wait
        self.steps: list[dict[str, float]] = []
        self._running = [OTHER]
        self._seconds: dict[str, float] = {}
        self._since = clock()

    def enter(self, part: str) -> None:
        """Begin a part within the one that is running."""
        self._add()
        self._running.append(part)

    def leave(self) -> None:
        """End the innermost part."""
        self._add()
        self._running.pop()

    def switch(self, part: str) -> None:
        """Count the rest of the innermost part as another part."""
        self._add()
        self._running[-1] = part

    @contextmanager
    def part(self, part: str) -> Iterator[None]:
        """Count the block as a part."""
        self.enter(part)
        try:
            yield
        finally:
            self.leave()

    def end_step(self) -> None:
        """Keep what was measured since the last step ended."""
        self._add()
        self.steps.append(self._seconds)
        self._seconds = {}

    def discard(self) -> None:
        """Forget what was measured since the last step ended."""
        self._add()
        self._seconds = {}

    def _add(self) -> None:
        self.wait()
        now = self.clock()
        part = self._running[-1]
        self._seconds[part] = self._seconds.get(part, 0) + now - self._since
        self._since = now
