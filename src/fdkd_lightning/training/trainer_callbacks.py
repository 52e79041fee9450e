"""The callbacks of a trainer."""

from typing import Any

from lightning.pytorch import Callback, Trainer


def trainer_callbacks(trainer: Trainer) -> list[Callback]:
    """Return the list that the trainer itself calls; appending to it adds a callback.

    Example:
        >>> trainer = Trainer(logger=False, enable_checkpointing=False)
        >>> trainer_callbacks(trainer) is trainer.callbacks
        True
    """
    # Trainer does not declare it: its callback connector sets it.
    undeclared: Any = trainer
    callbacks: list[Callback] = undeclared.callbacks
    return callbacks
