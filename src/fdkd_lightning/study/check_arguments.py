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
    """Return the first run with each argument and teachers: to parse one takes a fifth of a second.

    Example:
        >>> runs = [Run(name, "a to v", "all", 0, "", (f"{name}.yaml", "--x=1")) for name in "aab"]
        >>> [run.method for run in runs_to_check(runs)]
        ['a', 'b']
    """
    seen: set[tuple[str, tuple[str, ...]]] = set()
    chosen = []
    for run in runs:
        # A configuration names teachers, and those of its direction must be among them.
        teachers = tuple(modality for modality, _ in run.teachers)
        arguments = {(argument, teachers) for argument in run.args}
        if not seen >= arguments:
            chosen.append(run)
            seen |= arguments
    return chosen


def check_arguments(run: Run) -> str | None:
    """Return why ``fdkd fit`` would refuse the arguments of a run; None if it would not.

    Nothing is built, and no file is written.
    """
    said = io.StringIO()
    where = f"{run.method} ({run.direction}, {run.regime})"
    with (
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        quiet_lightning(),
    ):
        try:
            _Parse(run)
        except _ParsedError:
            return None
        except ValueError as error:  # of what only a study requires
            return f"{where}: {error}"
        except (Exception, SystemExit):  # reported by the caller, beside the other runs
            traceback.print_exc()
            return f"{where}: {cause_of_failure(said.getvalue())}"
    raise AssertionError(f"{run.name} was not stopped")


class _ParsedError(Exception):
    """The arguments are parsed."""


class _Parse(StudyCLI):
    """A run's command line up to its configuration."""

    def __init__(self, run: Run) -> None:
        teachers = {modality: Path(teacher.name) for modality, teacher in run.teachers}
        super().__init__(["fit", *run.command()], teachers)

    def before_instantiate_classes(self) -> None:
        """Check what only a study requires, and stop."""
        self.set_teacher_checkpoints()
        raise _ParsedError
