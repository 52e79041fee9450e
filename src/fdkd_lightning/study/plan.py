"""What a study runs: methods x directions x regimes x seeds, read from one file."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any, Literal

from jsonargparse import ArgumentParser


@dataclass
class Direction:
    """Who teaches whom.

    Args:
        student: The student's modality; stands for ``$student`` in the methods' arguments.
        teachers: The teachers' modalities; each stands for ``$teacher`` in the teacher's.
    """

    student: str
    teachers: list[str]


@dataclass
class Regime:
    """What there is to learn from.

    Args:
        student: Further arguments of every method's runs.
        teacher: Further arguments of the teachers' runs.
    """

    student: list[str] = field(default_factory=list)
    teacher: list[str] = field(default_factory=list)


@dataclass
class Method:
    """A row of the table.

    Args:
        args: The arguments of ``fdkd fit``: configurations (paths that end in .yaml), one over
            the other, and ``--key=value``.
        controls: The methods that have the same batches, steps and heads, but nothing to learn
            from a teacher; none where it is a control itself.
        references: Other methods that it is compared with, such as that of which it is a variant.
    """

    args: list[str]
    controls: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)


@dataclass
class Study:
    """The file of a study.

    Args:
        folder: Where runs, tables and pictures go.
        teacher: The arguments of the teachers' runs, with ``$teacher``.
        directions: Name -> direction.
        regimes: Name -> regime.
        methods: Name -> method, in the order of the table's rows.
        baseline: The method without any distillation.
        seeds: One run each; they draw the data, the weights and the order.
        tune: Argument -> values (a learning-rate grid, say). For each method, direction and
            regime the one with the best mean validation metric counts. Teachers are not tuned.
        metric: What is compared, a name among the module's metrics; more is better.
        epoch: Whether the last epoch's weights count or those of the best on validation.
        workers: Runs at a time; the cores are shared among them.
    """

    folder: Path
    teacher: list[str]
    directions: dict[str, Direction]
    regimes: dict[str, Regime]
    methods: dict[str, Method]
    baseline: str
    seeds: list[int]
    tune: dict[str, list[Any]] = field(default_factory=dict)
    metric: str = "accuracy"
    epoch: Literal["last", "best"] = "last"
    workers: int = 1

    def __post_init__(self) -> None:
        for name, value in (
            ("directions", self.directions),
            ("regimes", self.regimes),
            ("methods", self.methods),
            ("seeds", self.seeds),
        ):
            if not value:
                raise ValueError(f"{name} is empty: a study needs at least one")
        if self.workers < 1:
            raise ValueError(f"workers={self.workers} must be at least 1")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds={self.seeds} names one twice: each seed is one run")
        references = [("baseline", self.baseline)]
        for name, method in self.methods.items():
            for kind, others in (
                ("controls", method.controls),
                ("references", method.references),
            ):
                references += [(f"methods.{name}.{kind}", other) for other in others]
                if name in others:
                    raise ValueError(f"methods.{name}.{kind} names {name!r} itself")
        for key, reference in references:
            if reference not in self.methods:
                known = ", ".join(self.methods)
                raise ValueError(f"{key}={reference!r} is none of the methods ({known})")


@dataclass(frozen=True)
class Run:
    """One training with its evaluation: a cell of the study, or a teacher.

    Args:
        method: The row; for a teacher ``"teacher"``.
        direction: The direction's name; for a teacher its modality.
        regime: The regime's name.
        seed: The seed.
        tuned: ``key=value`` of the grid, or "".
        args: The arguments of ``fdkd fit``.
        teachers: Modality -> the teacher's run.
    """

    method: str
    direction: str
    regime: str
    seed: int
    tuned: str
    args: tuple[str, ...]
    teachers: tuple[tuple[str, "Run"], ...] = ()

    @property
    def fingerprint(self) -> str:
        """Of all that determines the result, the contents of the configurations included."""
        parts = [self.seed, *(Path(a).read_text() if is_config(a) else a for a in self.args)]
        parts += [f"{modality} {run.fingerprint}" for modality, run in self.teachers]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]

    @property
    def name(self) -> str:
        """A folder name: readable, and another one when a configuration changes."""
        slug = run_slug(self.method, self.direction, self.regime, self.tuned, self.seed)
        return f"{slug}-{self.fingerprint}"

    def command(self) -> list[str]:
        """The arguments of ``fdkd fit``, without folder and teachers."""
        configs = [f"--config={arg}" if is_config(arg) else arg for arg in self.args]
        return [*configs, f"--seed_everything={self.seed}"]


def run_slug(method: str, direction: str, regime: str, tuned: str, seed: int) -> str:
    """The readable part of a run's folder name.

    Example:
        >>> run_slug("FD-CMKD, light", "audio to visual", "few labels", "", 2)
        'FD_CMKD__light-audio_to_visual-few_labels-seed2'
    """
    words = [method, direction, regime, tuned, f"seed{seed}"]
    return "-".join(
        "".join(c if c.isalnum() or c in "=." else "_" for c in word) for word in words if word
    )


def read_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study's file.

    Args:
        path: The YAML file.
        overrides: ``--key=value`` that go over it.
    """
    parser = study_parser()
    config = parser.parse_args(["--config", str(path), *overrides])
    values = parser.instantiate(config).as_dict()
    del values["config"]
    return Study(**values)


def study_parser() -> ArgumentParser:
    """The parser of a study's file and of what may be changed on the command line."""
    parser = ArgumentParser(
        prog="fdkd study FILE",
        description="Accuracy over methods x directions x regimes x seeds, with controls.",
    )
    parser.add_argument("--config", action="config", help="The file.")
    parser.add_class_arguments(Study)
    return parser


def teacher_runs(study: Study) -> dict[tuple[str, str, int], Run]:
    """(Modality, regime, seed) -> run; the same run where two regimes train a teacher alike."""
    alike: dict[tuple[tuple[str, ...], int], Run] = {}
    runs = {}
    modalities = dict.fromkeys(m for d in study.directions.values() for m in d.teachers)
    for seed, (name, regime), modality in itertools.product(
        study.seeds, study.regimes.items(), modalities
    ):
        args = tuple(_fill(arg, teacher=modality) for arg in [*study.teacher, *regime.teacher])
        run = alike.setdefault((args, seed), Run("teacher", modality, name, seed, "", args))
        runs[modality, name, seed] = run
    return runs


def method_runs(study: Study) -> list[Run]:
    """All other runs, seed by seed, so that the first seed's table is there first."""
    teachers = teacher_runs(study)
    runs = []
    for seed, (regime_name, regime), (direction_name, direction), (
        name,
        method,
    ) in itertools.product(
        study.seeds, study.regimes.items(), study.directions.items(), study.methods.items()
    ):
        args = [_fill(arg, student=direction.student) for arg in [*method.args, *regime.student]]
        for tuned in _grid(study.tune):
            runs.append(
                Run(
                    name,
                    direction_name,
                    regime_name,
                    seed,
                    " ".join(tuned),
                    (*args, *(f"--{setting}" for setting in tuned)),
                    tuple((m, teachers[m, regime_name, seed]) for m in direction.teachers),
                )
            )
    return runs


def _grid(tune: dict[str, list[Any]]) -> Iterator[tuple[str, ...]]:
    for values in itertools.product(*tune.values()):
        yield tuple(f"{key}={value}" for key, value in zip(tune, values, strict=True))


def _fill(arg: str, **names: str) -> str:
    try:
        return Template(arg).substitute(names)
    except (KeyError, ValueError) as error:
        known = ", ".join(f"${name}" for name in names)
        raise ValueError(f"{arg!r}: {error} cannot be filled in, only {known} here") from error


def is_config(arg: str) -> bool:
    """Whether an argument of a run is a configuration's path."""
    return not arg.startswith("-") and arg.endswith((".yaml", ".yml"))
