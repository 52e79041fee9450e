"""The argument parser of a run, and the classes that its help lists."""

from importlib import import_module

from lightning.pytorch.cli import LightningArgumentParser

from fdkd_lightning.training.parser.clear_parser import ClearParser

ROOMS = ("", ".data", ".losses", ".models", ".decoupler")

TRAINER_DEFAULTS = {
    "default_root_dir": "runs",
    # The default of 50 steps warns in epochs that are shorter.
    "log_every_n_steps": 1,
    # NetworkSummary reports the sizes in a line.
    "enable_model_summary": False,
}
"""Defaults of the trainer that differ from Lightning's."""


class RunParser(ClearParser, LightningArgumentParser):
    """LightningCLI's parser with the help and the errors of :class:`ClearParser`."""


def import_public_classes() -> None:
    """Import the classes that help lists: it knows no others."""
    for room in (import_module(f"fdkd_lightning{room}") for room in ROOMS):
        for name in room.__all__:
            getattr(room, name)
