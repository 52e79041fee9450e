"""Helpers of tests that fit: a trainer without output, and weights to compare."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn


def trainer(
    folder: Path, *callbacks: Callback, epochs: int = 1, logger: Any = False, **settings: Any
) -> Trainer:
    """A trainer on the CPU that prints nothing, and saves nothing unless a callback does."""
    return Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=logger,
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **settings,
    )


def values(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the state."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two states are bitwise the same."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
