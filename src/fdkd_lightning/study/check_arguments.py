"""Parse the arguments of a study's runs before the first of them starts."""

import contextlib
import io
import traceback
from collections.abc import Iterable
from pathlib import Path

from fdkd_lightning.study.cell import cause_of_failure
from fdkd_lightning.study.planned_run import Run
from fdkd_lightning.study.study_cli import StudyCLI
from fdkd_lightning.training.quiet_lightning import quiet_lightning


def runs_to_check(runs: Iterable[Run]) -> list[Run]:
    """Return the first runs with each argument: parsing takes a fifth of a second for each.

    Example:
        >>> runs = [Run(name, "a to v", "all", 0, "", (f"{name}.yaml", "--x=1")) for name in "aab"]
        >>> [run.method for run in runs_to_check(runs)]
        ['a', 'b']
    """
    seen: set[str] = set()
    chosen = []
    for run in runs:
        if not seen.issuperset(run.args):
            chosen.append(run)
            seen.update(run.args)
    return chosen


def check_arguments(run: Run) -> str | None:
    """Return why ``fdkd fit`` would refuse the arguments of a run; None if it would not.

    Nothing is built, and no file is written.
    """
    said = io.StringIO()
    with (
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        quiet_lightning(),
    ):
        try:
            _Parse(run)
        except _ParsedError:
            return None
        except (Exception, SystemExit):  # reported by the caller, beside the other runs
            traceback.print_exc()
            where = f"{run.method} ({run.direction}, {run.regime})"
            return f"{where}: {cause_of_failure(said.getvalue())}"
    raise AssertionError(f"{run.name} was not stopped")


class _ParsedError(Exception):
    """The arguments are parsed."""


class _Parse(StudyCLI):
    """A run's command line up to its configuration."""

    def __init__(self, run: Run) -> None:
        self._run = run
        super().__init__(
            ["fit", *run.command()], {modality: Path(t.name) for modality, t in run.teachers}
        )

    def before_instantiate_classes(self) -> None:
        """Check what only a study requires, and stop."""
        self.name_teachers()
        run, arguments = self._run, self.config.fit.model.get("init_args") or {}
        found = arguments.get("modality", run.direction)
        if run.method == "teacher" and found != run.direction:
            raise ValueError(
                f"the configuration of the {run.direction} teacher trains a network of {found!r} "
                f"(model.modality): give one of {run.direction!r}, such as by $teacher in its "
                f"name, or list {found!r} in the direction's teachers"
            )
        raise _ParsedError
