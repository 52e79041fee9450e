"""Lightning's weight averaging beside modules whose parts get their sizes in ``setup``."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fdkd_lightning.training.trainer_callbacks import trainer_callbacks

COPYING = {"WeightAveraging", "StochasticWeightAveraging"}
"""Callbacks that copy the module in their ``setup``, which precedes the module's."""


def renew_copies(trainer: Trainer, module: LightningModule) -> None:
    """Let averaging callbacks copy the module again, now that it has all its parts."""
    for callback, _ in _averaging(trainer):
        callback.setup(trainer, module, "fit")


def copies(trainer: Trainer) -> Iterator[nn.Module]:
    """Iterate over the copies of the module in which Lightning's callbacks average weights."""
    for _, average in _averaging(trainer):
        yield average.module if isinstance(average, AveragedModel) else average


@torch.no_grad()
def follow_module(trainer: Trainer, module: LightningModule) -> None:
    """Copy the module's state to averages that have not begun.

    Until its first update (``update_starting_at_step``) an average would stay at the weights of its
    copy: these would be validated, and returned if training ends first.
    """
    for callback, average in _averaging(trainer):
        if "WeightAveraging" in _kinds(callback) and not average.n_averaged:
            for ours, theirs in zip(_state(average.module), _state(module), strict=True):
                ours.copy_(theirs)


def save_followed(checkpoint: dict[str, Any]) -> None:
    """Save the module's state in place of that of an average that has not begun.

    The callbacks have added their part to the checkpoint.
    """
    if not checkpoint.get("averaging_state", {}).get("n_averaged", 1):
        checkpoint["state_dict"] = checkpoint["current_model_state"]


def _state(module: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(module.parameters(), module.buffers())


def _averaging(trainer: Trainer) -> Iterator[tuple[Any, Any]]:
    """Yield the callbacks that have copied the module, each with its copy."""
    for callback in trainer_callbacks(trainer):
        average = getattr(callback, "_average_model", None)
        if _kinds(callback) & COPYING and average is not None:
            yield callback, average


def _kinds(callback: object) -> set[str]:
    # By name: the packages lightning and pytorch_lightning have classes of the same names.
    return {kind.__name__ for kind in type(callback).__mro__}
