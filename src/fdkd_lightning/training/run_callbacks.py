"""The callbacks of a run: those that are chosen, and what each run shows."""

from collections.abc import Iterable

from lightning.pytorch import Callback

from fdkd_lightning.training.monitor.live_progress import LiveProgress
from fdkd_lightning.training.monitor.network_summary import NetworkSummary
from fdkd_lightning.training.monitor.wandb_confusion import WandbConfusion


def run_callbacks(chosen: Callback | Iterable[Callback] | None) -> list[Callback]:
    """Return the chosen callbacks, with live values in the progress bar and one line of sizes.

    Example:
        >>> [type(callback).__name__ for callback in run_callbacks(None)]
        ['NetworkSummary', 'WandbConfusion', 'LiveProgress']
    """
    chosen = [] if chosen is None else chosen
    callbacks = [chosen] if isinstance(chosen, Callback) else [*chosen]
    if not any(isinstance(callback, LiveProgress) for callback in callbacks):
        callbacks.insert(0, LiveProgress())
    return [NetworkSummary(), WandbConfusion(), *callbacks]
