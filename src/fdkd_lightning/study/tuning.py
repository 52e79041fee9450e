"""The setting that a search chose, on validation data."""

import math
from collections import defaultdict
from collections.abc import Iterable

from fdkd_lightning.study.cell import Result, read_result
from fdkd_lightning.study.plan import Study, method_runs, search_runs, teacher_runs
from fdkd_lightning.study.planned_run import Run

Key = tuple[str, ...]
"""Method, direction and regime."""


def run_key(run: Run) -> Key:
    """Return what a setting is chosen for: method, direction and regime."""
    return run.method, run.direction, run.regime


def best_settings(results: Iterable[tuple[Run, Result]], epoch: str) -> dict[Key, str]:
    """Return the setting with the best mean validation metric of each method and column.

    A setting that failed with some seeds comes after those that did not.

    Args:
        results: Runs with their results.
        epoch: ``"last"`` or ``"best"``: whose weights count.
    """
    found: dict[Key, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run, result in results:
        found[run_key(run)][run.tuned].append(getattr(result, f"val_{epoch}"))
    return {
        key: max(settings, key=lambda tuned: (len(settings[tuned]), math.fsum(settings[tuned])))
        for key, settings in found.items()
    }


def judged_runs(study: Study) -> list[Run]:
    """List the methods' runs with ``seeds``, with the settings that the search chose.

    What the search has not evaluated yet is left out.
    """
    if not study.tune_seeds:
        return method_runs(study)
    return method_runs(study, best_settings(finished(study, search_runs(study)), study.epoch))


def all_runs(study: Study) -> list[Run]:
    """List the runs of the teachers, of the search, and of the methods."""
    teachers = dict.fromkeys(teacher_runs(study).values())
    return [*teachers, *search_runs(study), *judged_runs(study)]


def finished(study: Study, runs: Iterable[Run]) -> list[tuple[Run, Result]]:
    """Return the runs that have a result, with it."""
    found = ((run, read_result(run, study.folder / "runs", study.metric)) for run in runs)
    return [(run, result) for run, result in found if result is not None]
