"""Most memory that tensors take at once, within a step."""

import os
from collections.abc import Callable
from functools import partial

import torch
from torch.profiler import ProfilerActivity, profile

from fdkd_lightning.benchmark.cases.case import Case
from fdkd_lightning.benchmark.cases.loss import MAPS, LossPair
from fdkd_lightning.benchmark.cases.networks import RESNET_18, SMALL, Setting, SyntheticPairs
from fdkd_lightning.benchmark.cases.step_loops import HandLoop
from fdkd_lightning.benchmark.measure import Limits
from fdkd_lightning.benchmark.row import Row, value_row


def peak_bytes(function: Callable[[], object]) -> int:
    """Return the most bytes that a call has allocated at once, beyond those allocated before.

    On a GPU these are its allocator's; on the CPU torch's profiler reports each allocation.

    Example:
        >>> x = torch.ones(1000)
        >>> peak_bytes(lambda: (x + x).sum()) // 1000
        4
    """
    # Its log of each profile goes to the terminal.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    events = profiler.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    held = peak = 0
    for _, size in sorted(changes):
        held += size
        peak = max(peak, held)
    return peak


def measure_step(setting: Setting, limits: Limits) -> list[Row]:
    """Measure the step of the student alone, and that with teacher and criterion."""
    data = SyntheticPairs(setting, batches=1)
    data.setup("fit")
    loader, network = data.train_dataloader(), setting.network
    alone = HandLoop(loader, network())
    live = HandLoop(loader, network(), setting.teacher(), setting.criterion())
    first = _row(setting.name, "student alone", partial(alone, 1))
    return [first, _row(setting.name, "with teacher and loss", partial(live, 1), first)]


def measure_loss(shape: tuple[int, ...], limits: Limits) -> list[Row]:
    """Measure forward and backward pass of both forms of the loss."""
    pair, size = LossPair(shape), "loss, " + "x".join(map(str, shape))
    first = _row(size, "plain form", pair.plain)
    return [first, _row(size, "FDKDLoss", pair.fused, first)]


def _row(
    size: str, variant: str, function: Callable[[], object], against: Row | None = None
) -> Row:
    return value_row("memory", size, variant, "bytes", peak_bytes(function), against)


CASE = Case(
    "memory",
    "Most bytes of tensors that a step allocates at once, beyond networks, optimizer and batch.",
    (
        *(partial(measure_step, setting) for setting in (RESNET_18, SMALL)),
        partial(measure_loss, MAPS[0]),
    ),
)
