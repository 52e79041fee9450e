"""Run the trials of a sweep on this machine, on Optuna."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fdkd_lightning.study.sweep.fit_trial import Watch, fit_trial
from fdkd_lightning.study.sweep.sweep_file import Sweep, number_of_trials
from fdkd_lightning.study.sweep.trial_arguments import nest, trial_arguments
from fdkd_lightning.study.sweep.trial_store import RUN_ID, TrialStore

FIRST_FAILURES = 3
"""So many failures before any trial finishes end the sweep: its file is likely wrong."""


class SweepError(RuntimeError):
    """Trials failed; the results of the others are kept."""


def run_locally(
    sweep: Sweep,
    folder: Path,
    storage: str | None = None,
    count: int | None = None,
    say: Callable[[str], None] = print,
) -> TrialStore:
    """Run trials until none waits, or ``count`` of them; resume what a killed process left.

    Args:
        sweep: The sweep.
        folder: Folder for the store, the logs and the results.
        storage: Database URL; None: an SQLite file in the folder.
        count: Largest number of trials of this process; None: no limit.
        say: Receives a line at the start and one per trial.

    Raises:
        ValueError: If the sweep has no end, or the stored one is another.
        SweepError: If the first trials all fail.
    """
    if count is None and number_of_trials(sweep) == math.inf:
        raise ValueError(
            f"method={sweep.method!r} has no end: give run_cap in the file, or --count=N"
        )
    # The door: an error here is none of a single trial.
    trial_arguments(sweep.content, {})
    store = TrialStore(sweep, folder, storage)
    store.retry_failed()
    say(f"{sweep.name}: {sweep.method}, {sweep.metric}; logs of the trials: {folder / 'trials'}")
    done, failures = 0, 0
    while count is None or done < count:
        trial = store.take()
        if trial is None:
            break
        error = _run(sweep, store, trial, say)
        done += 1
        if error is not None:
            failures += 1
            say(error)
            if failures == done == FIRST_FAILURES:
                raise SweepError(
                    f"the first {failures} trials failed, the last: {error}. Fix the cause and "
                    "start the sweep again"
                )
    return store


def _run(sweep: Sweep, store: TrialStore, trial: Any, say: Callable[[str], None]) -> str | None:
    """Run a trial, store its result, and return its error if it failed."""
    values = {parameter.name: parameter.suggest(trial) for parameter in sweep.parameters}
    run_id = trial.user_attrs[RUN_ID]
    stopped = False
    known = dict(store.study.get_trials(deepcopy=False)[trial.number].intermediate_values)

    def report(step: int, value: float) -> bool:
        nonlocal stopped
        if not math.isfinite(value):
            raise ValueError(f"{sweep.metric} is {value} in step {step}: the trial diverged")
        if step not in known:  # a resumed trial repeats what is after its checkpoint
            known[step] = value
            trial.report(value, step)
        if sweep.early_stop is not None:
            own = [known[step] for step in sorted(known)]
            stopped = sweep.early_stop.stops(own, store.histories(), sweep.maximize)
        return stopped

    args = trial_arguments(sweep.content, nest(sweep.parameters, values))
    log = store.folder / "trials" / f"{run_id}.log"
    error = fit_trial(args, run_id, Watch(sweep.metric, report), log, sweep.name)
    found = [known[step] for step in sorted(known)]
    if error is None and not found:
        error = f"{run_id}: there was no validation, so no {sweep.metric} (see {log})"
    if error is not None:
        store.fail(trial, error)
        return error
    store.finish(trial, found[-1], stopped)
    settings = " ".join(f"{name.rpartition('.')[2]}={value}" for name, value in values.items())
    end = " (stopped early)" if stopped else ""
    total = number_of_trials(sweep)
    of = "" if total == math.inf else f" of {total}"
    say(f"{trial.number + 1}{of}, {run_id}: {sweep.metric} {found[-1]:.4f}{end}, {settings}")
    return None
