"""Arguments that were renamed: a configuration with an old name is refused, naming the new one."""

import re
from importlib import import_module
from typing import NamedTuple


class Renamed(NamedTuple):
    """An argument that a class had in an earlier version."""

    class_name: str
    argument: str
    remedy: str
    """Advice: the new spelling."""


RENAMED = (
    Renamed("LayerwiseLoss", "places", "write positions"),
    Renamed("Projector", "places", "write positions"),
    Renamed(
        "FDKDLoss",
        "reduction",
        "for 'sum' write channel_reduction: {class_path: fdkd_lightning.SumOverChannels}; leave "
        "'mean' out",
    ),
    Renamed(
        "FDKDLoss",
        "standardize",
        "for 'none' write band_standardizer: {class_path: fdkd_lightning.Unstandardized}, for "
        "'feature' also feature_standardizer: {class_path: fdkd_lightning.UnitLength}; leave "
        "'band' out",
    ),
    Renamed(
        "FDKDLoss",
        "unit",
        "for 'variance' write band_standardizer: {class_path: fdkd_lightning.UnitVariance}; leave "
        "'length' out",
    ),
    Renamed(
        "FDKDLoss",
        "log",
        "for 'before' write high_transform: {class_path: fdkd_lightning.SignedLog1p} and "
        "high_loss: {class_path: torch.nn.MSELoss}; leave 'after' out",
    ),
)

# How jsonargparse reports an argument that a class does not have.
REFUSED = re.compile(
    r"Problem with given class_path '(?P<path>[\w.]+)':\s+"
    r"Option '(?P<argument>\w+)[\w.]*' is not accepted"
)


def explain_renamed(message: str) -> str | None:
    """Find a renamed argument in an error of the parser.

    Returns:
        What to write instead; None: no renamed argument is the cause.
    """
    for refused in REFUSED.finditer(message):
        module, _, name = refused["path"].rpartition(".")
        # A subclass inherits the arguments.
        names = {base.__name__ for base in getattr(import_module(module), name).__mro__}
        for row in RENAMED:
            if row.class_name in names and row.argument == refused["argument"]:
                return f"{name} has no argument {row.argument!r} any more: {row.remedy}"
    return None
