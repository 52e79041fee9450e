"""The argument parser: help without other libraries' classes, errors with remedies, no torch."""

import re
import sys
from argparse import Action
from collections.abc import Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter
from jsonargparse._common import debug_mode_active

from fdkd_lightning.training.parser.errors import explain
from fdkd_lightning.training.parser.renamed_arguments import explain_renamed

LONGEST = 40
"""A longer list, as of all modules, has no meaning."""


class RunHelpFormatter(DefaultHelpFormatter):
    """List the subclasses of this package and of the user's modules, not those of libraries."""

    def _get_help_string(self, action: Action) -> str:
        text = super()._get_help_string(action)
        found = re.search(r", known subclasses: (.*?)(?=\)?$)", text, re.DOTALL)
        if found is None:
            return text
        names = [name for name in found[1].split(", ") if not _is_of_library(name)]
        listed = f", known subclasses: {', '.join(names)}" if 0 < len(names) <= LONGEST else ""
        return text[: found.start()] + listed + text[found.end() :]


class ClearParser(ArgumentParser):
    """jsonargparse's parser with :class:`RunHelpFormatter`, our errors and no abbreviations."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", RunHelpFormatter)
        # --over would mean --overwrite, until another argument begins like that.
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    given: Sequence[str] = ()
    """The arguments of the command line, in which errors find a value's place."""

    names: Sequence[str] = ()
    """The keys that errors propose; empty: those of this parser."""

    def parse_args(self, args: Sequence[str] | None = None, *rest: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # whatever else jsonargparse takes is passed on
        """Keep the arguments for errors, unless they are set already."""
        self.given = self.given or list(sys.argv[1:] if args is None else args)
        return super().parse_args(args, *rest, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Report the cause in at most five lines, a renamed argument by its new name alone."""
        # The parsers of nested classes raise what the outermost one reports.
        if not self.exit_on_error or debug_mode_active():
            super().error(message, ex)
        names = self.names or [action.dest for action in self._actions]
        text = explain_renamed(message) or explain(message, self.given, names)
        self.exit(2, f"error: {text}\n")


def _is_of_library(class_path: str) -> bool:
    """Whether another installed package defines the class; torch alone defines hundreds."""
    package = class_path.partition(".")[0]
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return package != "fdkd_lightning" and "site-packages" in file
