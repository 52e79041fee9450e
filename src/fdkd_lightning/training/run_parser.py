"""The argument parser of a run, and the classes that its help lists."""

from importlib import import_module

from lightning.pytorch.cli import LightningArgumentParser

from fdkd_lightning.training.clear_parser import ClearParser

ROOMS = ("", ".data", ".losses", ".models", ".decoupler")


class RunParser(ClearParser, LightningArgumentParser):
    """LightningCLI's parser with the help and the errors of :class:`ClearParser`."""


def import_public_classes() -> None:
    """Import the classes that help lists: it knows no others."""
    for room in (import_module(f"fdkd_lightning{room}") for room in ROOMS):
        for name in room.__all__:
            getattr(room, name)
