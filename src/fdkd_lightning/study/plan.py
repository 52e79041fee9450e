"""Read a study's file and list its runs: methods x directions x regimes x seeds."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any, Literal

from fdkd_lightning.study.planned_run import Run
from fdkd_lightning.training.parser.run_parser import RunParser


@dataclass
class Direction:
    """The modalities of student and teachers.

    Args:
        student: Modality of the student; replaces ``$student`` in the methods' arguments.
        teachers: Modalities of the teachers; each replaces ``$teacher`` in a teacher's arguments,
            and a single one in the methods', too.
    """

    student: str
    teachers: list[str]


@dataclass
class Regime:
    """The training data, such as the number of labels.

    Args:
        student: Arguments appended to those of every method.
        teacher: Arguments appended to those of the teachers.
    """

    student: list[str] = field(default_factory=list)
    teacher: list[str] = field(default_factory=list)


@dataclass
class Method:
    """A row of the table.

    Args:
        args: Arguments of ``fdkd fit``: configurations (paths that end in .yaml), of which later
            ones override earlier ones, and ``--key=value``.
        controls: Methods with the same batches, steps and heads that learn nothing from a
            teacher; empty for a method that is a control itself.
        references: Other methods to compare with, such as the one that this one varies.
        tune: Argument -> values, added to the study's ``tune`` for this method alone; ``[]`` leaves
            out an argument of the study's.
    """

    args: list[str]
    controls: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    tune: dict[str, list[Any]] = field(default_factory=dict)


@dataclass
class Study:
    """The contents of a study's file.

    Args:
        folder: Folder for runs, tables and figures.
        teacher: Arguments of the teachers' runs, with ``$teacher``.
        directions: Name -> direction.
        methods: Name -> method, in the order of the table's rows.
        baseline: Name of the method without distillation.
        question: Name of the method that the study asks about: three sentences compare it with the
            baseline, its controls, and the best of its references. None: none do.
        seeds: One run each. A seed draws the data, the weights and the order of the samples.
        regimes: Name -> regime. The default, "all labels", adds no arguments.
        tune: Argument -> values, such as learning rates. The setting with the best mean validation
            metric is reported, per method, direction and regime. Teachers are not tuned. An
            argument that not every method has, such as a threshold, belongs into its ``tune``.
        tune_seeds: Seeds of the search alone: every setting runs with these and is evaluated on
            validation data; only the best one runs with ``seeds`` and sees test data. ``[]``: every
            setting runs with ``seeds``.
        metric: Name of the compared metric among the module's metrics; higher is better.
        epoch: Whether the weights of the last epoch or of the best validation epoch are reported.
        workers: Number of parallel runs; they share the CPU cores.
        wandb: W&B project in which each run, and the study's table and figures, are logged; None:
            none.

    Raises:
        ValueError: If a part is empty, a seed is repeated or serves search and judgement,
            ``workers`` is below 1, or ``baseline``, ``question``, a control or a reference is not
            a method.
    """

    folder: Path
    teacher: list[str]
    directions: dict[str, Direction]
    methods: dict[str, Method]
    baseline: str
    seeds: list[int]
    regimes: dict[str, Regime] = field(default_factory=lambda: {"all labels": Regime()})
    tune: dict[str, list[Any]] = field(default_factory=dict)
    tune_seeds: list[int] = field(default_factory=list)
    question: str | None = None
    metric: str = "accuracy"
    epoch: Literal["last", "best"] = "last"
    workers: int = 1
    wandb: str | None = None

    def __post_init__(self) -> None:
        for name in ("directions", "regimes", "methods", "seeds"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: give at least one")
        for key, values in self.tune.items():
            if not values:
                raise ValueError(f"tune.{key}=[] has no values: give one or more, or remove it")
        if self.workers < 1:
            raise ValueError(f"workers={self.workers} must be at least 1")
        seeds = [*self.seeds, *self.tune_seeds]
        if len(set(seeds)) < len(seeds):
            raise ValueError(
                f"seeds={self.seeds} and tune_seeds={self.tune_seeds} name a seed twice: give each "
                "seed once"
            )
        references = [("baseline", self.baseline)]
        if self.question is not None:
            references.append(("question", self.question))
        for name, method in self.methods.items():
            for kind, others in (("controls", method.controls), ("references", method.references)):
                references += [(f"methods.{name}.{kind}", other) for other in others]
                if name in others:
                    raise ValueError(f"methods.{name}.{kind} names {name!r} itself: remove it")
        for key, reference in references:
            if reference not in self.methods:
                known = ", ".join(self.methods)
                raise ValueError(f"{key}={reference!r} is not a method: choose one of {known}")


def read_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study's file."""
    parser = study_parser()
    config = parser.parse_args(["--config", str(path), *overrides])
    values = parser.instantiate(config).as_dict()
    del values["config"]
    return Study(**values)


def study_parser() -> RunParser:
    """Build the parser of a study's file and of its overrides on the command line."""
    parser = RunParser(
        prog="fdkd study FILE",
        description="Compare methods over directions, regimes and seeds, with controls.",
    )
    parser.add_argument("--config", action="config", help="Path to a study's file.")
    parser.add_class_arguments(Study)
    return parser


def teacher_runs(study: Study) -> dict[tuple[str, str, int], Run]:
    """Map (modality, regime, seed) to a run; regimes with equal arguments share the run."""
    shared: dict[tuple[tuple[str, ...], int], Run] = {}
    runs = {}
    modalities = dict.fromkeys(m for d in study.directions.values() for m in d.teachers)
    for seed, (name, regime), modality in itertools.product(
        [*study.seeds, *study.tune_seeds], study.regimes.items(), modalities
    ):
        args = tuple(_fill(arg, teacher=modality) for arg in [*study.teacher, *regime.teacher])
        searches = seed in study.tune_seeds
        run = Run("teacher", modality, name, seed, "", args, searches=searches)
        runs[modality, name, seed] = shared.setdefault((args, seed), run)
    return runs


def search_runs(study: Study) -> list[Run]:
    """List the runs of all settings with ``tune_seeds``."""
    return _runs(study, study.tune_seeds, None)


def method_runs(study: Study, chosen: Mapping[tuple[str, ...], str] | None = None) -> list[Run]:
    """List the methods' runs, seed by seed, so that the first seed is complete first.

    Args:
        study: The study.
        chosen: Method, direction and regime -> the setting to run; None: every setting.
    """
    return _runs(study, study.seeds, chosen)


def _runs(
    study: Study, seeds: Sequence[int], chosen: Mapping[tuple[str, ...], str] | None
) -> list[Run]:
    teachers = teacher_runs(study)
    runs = []
    for seed, regime, direction, name in itertools.product(
        seeds, study.regimes, study.directions, study.methods
    ):
        modalities = study.directions[direction]
        given = [*study.methods[name].args, *study.regimes[regime].student]
        names = {"student": modalities.student}
        if len(modalities.teachers) == 1:
            names["teacher"] = modalities.teachers[0]
        args = [_fill(arg, **names) for arg in given]
        pairs = tuple((m, teachers[m, regime, seed]) for m in modalities.teachers)
        tune = study.tune | study.methods[name].tune
        for settings in _grid({key: values for key, values in tune.items() if values}):
            tuned = " ".join(settings)
            if chosen is None or chosen.get((name, direction, regime)) == tuned:
                all_args = (*args, *(f"--{setting}" for setting in settings))
                searches = seed in study.tune_seeds
                runs.append(Run(name, direction, regime, seed, tuned, all_args, pairs, searches))
    return runs


def _grid(tune: dict[str, list[Any]]) -> Iterator[tuple[str, ...]]:
    return itertools.product(*([f"{k}={v}" for v in values] for k, values in tune.items()))


def _fill(arg: str, **names: str) -> str:
    try:
        return Template(arg).substitute(names)
    except (KeyError, ValueError) as error:
        known = ", ".join(f"${name}" for name in names)
        raise ValueError(f"{arg!r}: {error} is unknown here, use {known}") from error
