"""Share of the time that training waits for its data loader."""

import time
from collections.abc import Callable
from typing import Any

from lightning.pytorch.profilers import Profiler


def is_loading(action: str) -> bool:
    """Return whether an action that Lightning reports to its profiler is the loading of a batch.

    Example:
        >>> is_loading("[_TrainingEpochLoop].train_dataloader_next")
        True
    """
    return action.endswith(".train_dataloader_next")


class LoaderWait:
    r"""Measure for which share of an epoch the process waits for the loader's next batch.

    .. math:: s = t_\mathrm{wait} \, / \, t_\mathrm{epoch}

    The clock is the host's, and nothing waits for the device. Validation does not count.

    Args:
        clock: Returns seconds.

    Example:
        >>> ticks = iter([0.0, 1.0, 3.0, 4.0])
        >>> wait = LoaderWait(lambda: next(ticks))
        >>> wait.start_epoch()
        >>> wait.start("[_TrainingEpochLoop].train_dataloader_next")
        >>> wait.stop("[_TrainingEpochLoop].train_dataloader_next")
        >>> wait.share()
        0.5
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self._profiler: Profiler | None = None
        self._waited = self._begun = self._since = self._paused = 0.0

    def attach(self, profiler: Profiler) -> None:
        """Listen to what the trainer reports to its profiler."""
        self.detach()
        self._profiler = profiler
        for name, listener in (("start", self.start), ("stop", self.stop)):
            setattr(profiler, name, _Both(getattr(profiler, name), listener))

    def detach(self) -> None:
        """Stop listening."""
        if self._profiler is not None:
            for name in ("start", "stop"):
                delattr(self._profiler, name)  # what hid the method of the class
            self._profiler = None

    def start(self, action: str) -> None:
        """Begin an action."""
        if is_loading(action):
            self._since = self.clock()

    def stop(self, action: str) -> None:
        """End an action."""
        if is_loading(action):
            self._waited += self.clock() - self._since

    def start_epoch(self) -> None:
        """Begin to measure anew."""
        self._waited, self._begun = 0.0, self.clock()

    def pause(self) -> None:
        """Let time pass that does not count."""
        self._paused = self.clock()

    def resume(self) -> None:
        """Count again."""
        self._begun += self.clock() - self._paused

    def share(self) -> float:
        """Return the share of the epoch so far, between 0 and 1; 0 when it has just begun."""
        passed = self.clock() - self._begun
        return self._waited / passed if passed > 0 else 0.0


class _Both:
    """Call a method and a listener; a class, so that spawned ranks can pickle it."""

    def __init__(self, method: Callable[[str], Any], listener: Callable[[str], None]) -> None:
        self.method, self.listener = method, listener

    def __call__(self, action_name: str) -> Any:
        self.listener(action_name)
        return self.method(action_name)
