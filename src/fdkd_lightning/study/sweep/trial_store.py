"""The trials of a local sweep in an Optuna study, which several processes and machines share."""

import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.ops.optional import require
from fdkd_lightning.study.sweep.sweep_file import Sweep

RUN_ID, PLACE, ERROR, DIGEST = "run_id", "place", "error", "digest"
"""Attributes of a trial: id of its run, folder that its process writes to, why it failed; and of
the study: hash of what decides on its trials."""


class TrialStore:
    """Hand out each trial of a sweep once.

    All trials of a sweep with an end wait in the study from the beginning. One that runs belongs to
    a folder, whose file lock ends with the process, however that ends; another process that uses
    the folder then resumes the trial. One that failed stays a running one with an error, and is
    handed out again after :meth:`retry_failed`.

    Args:
        sweep: The sweep.
        folder: Folder of locks and logs; machines may share it or have one each.
        storage: Database URL; None: an SQLite file in the folder.

    Raises:
        ValueError: If the study belongs to another sweep.
    """

    def __init__(self, sweep: Sweep, folder: Path, storage: str | None = None) -> None:
        optuna = require("optuna", extra="sweep", purpose="a sweep without a W&B account")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        (folder / "trials").mkdir(parents=True, exist_ok=True)
        self.sweep, self.folder, self._optuna = sweep, folder, optuna
        self.states = optuna.trial.TrialState
        url = storage or f"sqlite:///{(folder / 'sweep.db').absolute()}"
        with self._lock():
            self._place = _place(folder)
            self.study = self._open(url)
            self._plan()

    def take(self) -> Any:
        """Return the next trial, as an Optuna trial that is locked, or None if there is none."""
        with self._lock():
            for trial in self.study.get_trials(deepcopy=False, states=(self.states.RUNNING,)):
                here = trial.user_attrs.get(PLACE) in (self._place, None)
                if here and not trial.user_attrs.get(ERROR) and self._claim(trial):
                    return self._start(trial._trial_id)
            # Private, but `ask` would make a new trial if another process took the last one.
            waiting = self.study._pop_waiting_trial_id()
            if waiting is not None:
                return self._start(waiting)
            if self.sweep.method == "grid" or self.sweep.run_cap is not None:
                return None
            return self._start(self.study.ask()._trial_id)

    def finish(self, trial: Any, value: float, stopped: bool) -> None:
        """Store the result of a trial, and whether it was stopped early."""
        if stopped:
            self.study.tell(trial, state=self.states.PRUNED)
        else:
            self.study.tell(trial, value)
        self._release()

    def fail(self, trial: Any, error: str) -> None:
        """Store why a trial failed."""
        trial.set_user_attr(ERROR, error)
        self._release()

    def retry_failed(self) -> None:
        """Let the trials of this folder that failed be taken again."""
        for trial in self.study.get_trials(deepcopy=False, states=(self.states.RUNNING,)):
            if trial.user_attrs.get(ERROR) and trial.user_attrs.get(PLACE) == self._place:
                self._optuna.trial.Trial(self.study, trial._trial_id).set_user_attr(ERROR, None)

    def histories(self) -> list[list[float]]:
        """Return the metric's values of each trial, one per validation."""
        return [history(trial) for trial in self.study.get_trials(deepcopy=False)]

    def _open(self, url: str) -> Any:
        optuna, sweep = self._optuna, self.sweep
        # A writing process locks an SQLite file; the others wait.
        connect = {"timeout": 60} if url.startswith("sqlite") else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = (
                # With constant_liar it avoids what others are trying at the moment.
                optuna.samplers.TPESampler(constant_liar=True)
                if sweep.method == "bayes"
                else optuna.samplers.RandomSampler()
            )
            study = optuna.create_study(
                study_name=sweep.name,
                storage=optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": connect}),
                sampler=sampler,
                direction="maximize" if sweep.maximize else "minimize",
                load_if_exists=True,
            )
        if study.user_attrs.setdefault(DIGEST, sweep.digest) != sweep.digest:
            trials = study.get_trials(deepcopy=False)
            done = sum(trial.state.is_finished() for trial in trials)
            # The URL of a database may hold a password.
            stored = url.removeprefix("sqlite:///") if url.startswith("sqlite") else "in --storage"
            raise ValueError(
                f"the stored sweep {sweep.name!r} was made from a file with other parameters, "
                f"command or metric; {done} of its {len(trials)} trials are finished. Give another "
                f"--folder, or another name in the file; or delete it, if it is of no use: {stored}"
            )
        study.set_user_attr(DIGEST, sweep.digest)
        return study

    def _plan(self) -> None:
        """Queue the trials of a sweep that has an end; a larger run_cap than before adds some."""
        planned = self.sweep.grid() if self.sweep.method == "grid" else []
        if self.sweep.method != "grid" and self.sweep.run_cap is not None:
            planned = [{} for _ in range(self.sweep.run_cap)]
        for point in planned[len(self.study.get_trials(deepcopy=False)) :]:
            self.study.enqueue_trial(point, user_attrs={RUN_ID: uuid.uuid4().hex[:8]})

    def _start(self, trial_id: int) -> Any:
        trial = self._optuna.trial.Trial(self.study, trial_id)
        if RUN_ID not in trial.user_attrs:
            trial.set_user_attr(RUN_ID, uuid.uuid4().hex[:8])
        trial.set_user_attr(PLACE, self._place)
        self._own = self._lock_of(trial.user_attrs[RUN_ID])
        self._own.acquire()
        return trial

    def _claim(self, trial: Any) -> bool:
        """Return whether no process holds a trial that is running."""
        lock = self._lock_of(trial.user_attrs.get(RUN_ID, "none"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        lock.release()
        return True

    def _lock_of(self, run_id: str) -> FileLock:
        return FileLock(self.folder / "trials" / f"{run_id}.lock")

    def _release(self) -> None:
        self._own.release()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with FileLock(self.folder / "trials" / "store.lock"):
            yield


def history(trial: Any) -> list[float]:
    """Return a trial's values of the metric in the order of its validations."""
    return [value for _, value in sorted(trial.intermediate_values.items())]


def _place(folder: Path) -> str:
    """Return the folder's id, which machines that share it have in common."""
    path = folder / "trials" / "place"
    if not path.exists():
        with atomic_write(path, "w") as file:
            file.write(uuid.uuid4().hex)
    return path.read_text()
