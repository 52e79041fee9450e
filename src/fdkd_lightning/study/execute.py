"""Execute all runs of a study in parallel."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from joblib import Parallel, cpu_count, delayed, parallel_config
from tqdm import tqdm

from fdkd_lightning.files.atomic_write import naming
from fdkd_lightning.ops.optional import require
from fdkd_lightning.study.cell import read_result, run_cell
from fdkd_lightning.study.check_arguments import check_arguments, runs_to_check
from fdkd_lightning.study.kept_checkpoints import forget_damaged
from fdkd_lightning.study.plan import Study, search_runs, teacher_runs
from fdkd_lightning.study.planned_run import Run
from fdkd_lightning.study.tuning import best_settings, finished, judged_runs, run_key


class StudyError(RuntimeError):
    """Some runs failed; the results of the others are kept."""

    def __init__(self, message: str, failures: Mapping[str, str]) -> None:
        super().__init__(message)
        self.failures = dict(failures)


def run_study(study: Study, scheduler: str | None = None) -> None:
    """Execute the runs that have no result yet: the teachers', those of the search, the methods'.

    A method's run whose teacher failed is left out.

    Args:
        study: The study.
        scheduler: Address of a Dask scheduler whose workers share ``folder`` and the data;
            None: ``study.workers`` processes on this machine.

    Raises:
        ValueError: If ``fdkd fit`` would refuse the arguments of a run; raised before any starts.
            Each argument is checked in the first run that has it.
        FileNotFoundError: If a configuration does not exist.
        StudyError: If runs failed; raised after all others have finished.
    """
    folder = study.folder / "runs"
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    teachers = list(dict.fromkeys(teacher_runs(study).values()))
    searched, judged = search_runs(study), judged_runs(study)
    _forget_damaged_teachers([*searched, *judged], study, folder)
    columns = len(study.regimes) * len(study.directions) * len(study.methods)
    to_judge = columns * len(study.seeds) if study.tune_seeds else len(judged)
    total = len(teachers) + len(searched) + to_judge
    failures: dict[str, str] = {}
    with _engine(study.workers, scheduler), tqdm(total=total, unit="run") as bar:
        bar.set_description("Checking")
        _check_arguments([*teachers, *searched, *judged], study)
        # The methods' runs are listed last, because the search decides on their settings.
        stages: dict[str, Callable[[], Sequence[Run]]] = {
            "Teachers": lambda: teachers,
            "Search": lambda: searched,
            "Methods": lambda: judged_runs(study),
        }
        for name, runs_of in stages.items():
            bar.set_description(name)
            stage = runs_of()
            waiting = [run for run in stage if read_result(run, folder, study.metric) is None]
            # Runs finished earlier must not enter the bar's estimate of the speed.
            bar.initial += len(stage) - len(waiting)
            bar.update(len(stage) - len(waiting))
            for run in waiting:
                lost = [teacher.name for _, teacher in run.teachers if teacher.name in failures]
                if lost:
                    failures[run.name] = f"{run.name}: its teacher {lost[0]} failed"
            able = [run for run in waiting if run.name not in failures]
            bar.update(len(waiting) - len(able))
            parent = os.getpid() if scheduler is None else None
            by_name = {run.name: run for run in able}
            first = _FirstScores(study)
            for run_name, failure in _results(able, study, parent):
                bar.update()
                bar.set_postfix_str(run_name.rpartition("-")[0])
                if failure is not None:
                    failures[run_name] = failure
                    bar.write(failure)
                elif name == "Methods" and (scores := first.line_after(by_name[run_name], stage)):
                    bar.write(scores)
    if failures:
        raise StudyError(
            f"{len(failures)} of {total} runs failed, the first: {next(iter(failures.values()))}. "
            "Fix the cause and start the study again: it executes only the missing runs",
            failures,
        )


def _check_arguments(runs: Sequence[Run], study: Study) -> None:
    """Refuse arguments before hours are spent on the runs before theirs."""
    folder = study.folder / "runs"
    waiting = [run for run in runs if read_result(run, folder, study.metric) is None]
    checked = runs_to_check(waiting)
    found = Parallel()(delayed(check_arguments)(run) for run in checked)
    refused = [error for error in found if error is not None]
    if refused:
        raise ValueError(
            f"fdkd fit refuses the arguments of {len(refused)} of {len(checked)} checked runs, so "
            f"none is started. The first: {refused[0]}"
        )


def _forget_damaged_teachers(methods: Sequence[Run], study: Study, folder: Path) -> None:
    """Let teachers run again whose checkpoint is damaged, if a run still needs them."""
    waiting = [run for run in methods if read_result(run, folder, study.metric) is None]
    for teacher in dict.fromkeys(teacher for run in waiting for _, teacher in run.teachers):
        if read_result(teacher, folder, study.metric) is not None:
            damage = forget_damaged(folder / teacher.name)
            if damage is not None:
                tqdm.write(f"{teacher.name}: {damage}", file=sys.stderr)


class _FirstScores:
    """Scores of the first seed, a line per direction and regime once its runs have finished."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._returned: set[tuple[str, str]] = set()

    def line_after(self, run: Run, stage: Sequence[Run]) -> str | None:
        """Return the line, or None if a run of its direction and regime is not finished."""
        study, column = self.study, (run.direction, run.regime)
        if run.seed != study.seeds[0] or column in self._returned:
            return None
        runs = [x for x in stage if x.seed == run.seed and (x.direction, x.regime) == column]
        found = finished(study, runs)
        if len(found) < len(runs):
            return None
        self._returned.add(column)
        # Of several settings that which validation chooses.
        chosen = best_settings(found, study.epoch)
        scores = (
            f"{run.method} {100 * getattr(result, f'test_{study.epoch}'):.1f}"
            for run, result in found
            if chosen[run_key(run)] == run.tuned
        )
        where = ", ".join(column)
        return f"{where}, seed {run.seed} alone, in %: {', '.join(scores)}"


def _results(
    runs: Sequence[Run], study: Study, parent: int | None
) -> Iterator[tuple[str, str | None]]:
    arguments = study.folder / "runs", study.metric, study.wandb, parent
    jobs = (delayed(_run_cell)(run, *arguments) for run in runs)
    parallel = Parallel(return_as="generator_unordered", pre_dispatch="all")
    results: Iterator[tuple[str, str | None]] = parallel(jobs)
    return results


def _run_cell(
    run: Run, folder: Path, metric: str, project: str | None, parent: int | None
) -> tuple[str, str | None]:
    if parent not in (None, os.getpid(), os.getppid()):
        # The study was killed, and this worker would go on with its queue.
        raise SystemExit
    return run.name, run_cell(run, folder, metric, project)


@contextmanager
def _engine(workers: int, scheduler: str | None) -> Iterator[None]:
    if scheduler is None:
        threads = max(1, cpu_count() // workers)
        with parallel_config("loky", n_jobs=workers, inner_max_num_threads=threads):
            yield
        return
    dask = require("dask.distributed", extra="cluster", purpose="--scheduler")
    with dask.Client(scheduler), parallel_config("dask"):
        yield
