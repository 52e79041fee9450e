"""Quieter Lightning, for commands that make many fits."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

LIGHTNING = ("lightning.pytorch", "pytorch_lightning", "lightning.fabric", "lightning_fabric")
"""Its packages, by both names: the one that was imported last logs for both."""


@contextmanager
def quiet_lightning(level: int = logging.WARNING) -> Iterator[None]:
    """Let Lightning log nothing below a level, and let it log as before in the end."""
    loggers = [logging.getLogger(name) for name in LIGHTNING]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, before in zip(loggers, levels, strict=True):
            logger.setLevel(before)
