"""What a model card tells of the run that its student comes from."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Teacher:
    """A teacher, as the run's configuration names it.

    Args:
        modality: What it saw.
        network: Its class path.
        checkpoint: Where its weights came from; None: from nowhere else.
        sha256: Of that file, as it was when the student was exported; None: it was not at hand.
        changed: Whether the file is newer than the student.
    """

    modality: str
    network: str
    checkpoint: str | None = None
    sha256: str | None = None
    changed: bool = False


@dataclass(frozen=True)
class StudyScores:
    """A study's runs that differ from this one by their seed alone."""

    method: str
    direction: str
    regime: str
    metric: str
    epoch: str
    values: dict[int, float]


@dataclass(frozen=True)
class RunFacts:
    """What the card tells of a run.

    Args:
        source: Where the configuration was found, in words.
        data: Class path and arguments of the data.
        module: Class path of what trained the student.
        criterion: Class path and arguments of what it learned from a teacher; None: nothing.
        task_weight: That of the labels' cross-entropy beside it; None: labels were not used.
        teachers: Its teachers.
        checkpoint: The file's name and, where it says so, epoch and step.
        metrics: Name, such as ``test/accuracy``, -> value of this checkpoint.
        study: The same with other seeds.
    """

    source: str
    data: dict[str, Any]
    module: str
    criterion: dict[str, Any] | None = None
    task_weight: float | None = 1.0
    teachers: tuple[Teacher, ...] = ()
    checkpoint: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    study: StudyScores | None = None
