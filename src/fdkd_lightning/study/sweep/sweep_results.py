"""Results of a local sweep: a row per trial, and the best trial's parameters as an overlay."""

import csv
import json
import math
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.files.read_file import read_json
from fdkd_lightning.ops.optional import require
from fdkd_lightning.study.sweep.parameter import Parameter
from fdkd_lightning.study.sweep.sweep_file import Sweep
from fdkd_lightning.study.sweep.trial_store import ERROR, RUN_ID, TrialStore, history

STATES = {"COMPLETE": "finished", "PRUNED": "stopped", "RUNNING": "running", "WAITING": "waiting"}


@dataclass
class Trial:
    """A row of the table.

    Args:
        run: Id of the run.
        state: ``finished``, ``stopped`` (early), ``failed``, ``running`` or ``waiting``.
        parameters: Name -> value; empty until the trial has started.
        last: The metric at the last validation, which trials are compared by; None without one.
        best: The best value of all validations.
        best_validation: Number of that validation, from 1.
        validations: How many there were.
        seconds: Wall-clock time from the first start to the end; None until then.
        error: Why the trial failed.
    """

    run: str
    state: str
    parameters: dict[str, Any] = field(default_factory=dict)
    last: float | None = None
    best: float | None = None
    best_validation: int | None = None
    validations: int = 0
    seconds: float | None = None
    error: str | None = None


@dataclass
class SweepResults:
    """All trials of a sweep, the best first.

    Args:
        name: Name of the sweep.
        method: ``grid``, ``random`` or ``bayes``.
        metric: Name of the validation metric.
        maximize: Whether higher is better.
        trials: The trials: finished ones by their last value, then the others.
        importance: Parameter -> importance by Optuna's PED-ANOVA, of which all add up to 1; empty
            with fewer than 4 finished trials, or where it finds none.
    """

    name: str
    method: str
    metric: str
    maximize: bool
    trials: list[Trial]
    importance: dict[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> list[Trial]:
        """The trials that ran to their end, the best first."""
        return [trial for trial in self.trials if trial.state == "finished"]


def collect(store: TrialStore) -> SweepResults:
    """Read the results of a sweep from its store."""
    sweep = store.sweep
    trials = [_row(sweep, trial) for trial in store.study.get_trials(deepcopy=False)]
    order = ["finished", "stopped", "failed", "running", "waiting"]
    sign = -1 if sweep.maximize else 1
    trials.sort(key=lambda t: (order.index(t.state), math.inf if t.last is None else sign * t.last))
    finished = [trial.last for trial in trials if trial.state == "finished"]
    importance: dict[str, float] = {}
    if len(finished) >= 4 and len({*finished}) > 1:
        optuna = require("optuna", extra="sweep", purpose="the importance of parameters")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # Normalised here: Optuna would make equal shares of zeros: that it found none.
            found = optuna.importance.get_param_importances(store.study, normalize=False)
        total = sum(found.values())
        importance = {name: float(value / total) for name, value in found.items() if total > 0}
    return SweepResults(sweep.name, sweep.method, sweep.metric, sweep.maximize, trials, importance)


def write_results(results: SweepResults, parameters: list[Parameter], folder: Path) -> None:
    """Write ``sweep.json``, ``trials.csv`` and, if a trial has finished, ``best.yaml``."""
    with atomic_write(folder / "sweep.json", "w") as file:
        json.dump(asdict(results), file, indent=1)
    names = [parameter.name for parameter in parameters]
    columns = ["run", "state", "last", "best", "best_validation", "validations", "seconds", "error"]
    with atomic_write(folder / "trials.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, *names])
        for trial in results.trials:
            cells = [getattr(trial, column) for column in columns]
            writer.writerow([*cells, *(trial.parameters.get(name) for name in names)])
    if results.finished:
        best = results.finished[0]
        with atomic_write(folder / "best.yaml", "w") as file:
            file.write(
                f"# The best on validation data of the sweep {results.name!r}: {results.metric} "
                f"{best.last:.4f}, run {best.run}.\n# Give it after the command's other --config.\n"
            )
            yaml.safe_dump(overlay(best.parameters), file, sort_keys=False)


def read_results(folder: Path) -> SweepResults:
    """Read what :func:`write_results` wrote.

    Raises:
        FileNotFoundError: If the folder has no ``sweep.json``.
        ValueError: If that file is damaged.
    """
    content = read_json(folder / "sweep.json", "start fdkd sweep again: finished trials are kept")
    try:
        trials = [Trial(**trial) for trial in content.pop("trials")]
        return SweepResults(trials=trials, **content)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / 'sweep.json'} is damaged ({error}): start fdkd sweep again"
        ) from error


def overlay(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration of dotted names.

    Example:
        >>> overlay({"model.init_args.lr": 0.1, "seed_everything": 1})
        {'model': {'init_args': {'lr': 0.1}}, 'seed_everything': 1}
    """
    nested: dict[str, Any] = {}
    for name, value in parameters.items():
        *above, last = name.split(".")
        level = nested
        for key in above:
            level = level.setdefault(key, {})
        level[last] = value
    return nested


def _row(sweep: Sweep, trial: Any) -> Trial:
    values = history(trial)
    best = (max if sweep.maximize else min)(values) if values else None
    error = trial.user_attrs.get(ERROR)
    state = "failed" if error else STATES.get(trial.state.name, "failed")
    ended = trial.datetime_complete
    return Trial(
        run=trial.user_attrs.get(RUN_ID, ""),
        state=state,
        parameters=_values(sweep, trial),
        last=values[-1] if values else None,
        best=best,
        best_validation=None if best is None else values.index(best) + 1,
        validations=len(values),
        seconds=None if ended is None else round((ended - trial.datetime_start).total_seconds(), 1),
        error=error,
    )


def _values(sweep: Sweep, trial: Any) -> dict[str, Any]:
    """Return a stored trial's value of each parameter; nothing if it has none yet."""
    free = [p.name for p in sweep.parameters if p.distribution != "constant"]
    if not {*free} <= trial.params.keys():
        return {}
    optuna = require("optuna", extra="sweep", purpose="reading a sweep")
    fixed = optuna.trial.FixedTrial(trial.params)
    return {parameter.name: parameter.suggest(fixed) for parameter in sweep.parameters}
