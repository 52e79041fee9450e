"""Arguments that were renamed: a configuration with an old name is refused, naming the new one."""

import re
from importlib import import_module
from typing import NamedTuple


class Renamed(NamedTuple):
    """An argument that a class had in an earlier version."""

    class_name: str
    argument: str
    remedy: str
    """What to write instead."""


RENAMED = (
    Renamed("LayerwiseLoss", "places", "write positions"),
    Renamed("Projector", "places", "write positions"),
)

# How jsonargparse reports an argument that a class does not have.
REFUSED = re.compile(
    r"Problem with given class_path '(?P<path>[\w.]+)':\s+"
    r"Option '(?P<argument>\w+)[\w.]*' is not accepted"
)


def explain_renamed(message: str) -> str | None:
    """Find a renamed argument in an error of the parser.

    Args:
        message: What the parser reports.

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
