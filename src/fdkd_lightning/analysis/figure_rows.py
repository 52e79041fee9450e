"""Rows of the figures' CSV files, for analysis to write and the report to draw."""

from typing import NamedTuple


class EmbeddedPoint(NamedTuple):
    """A sample's features in two dimensions, ``tsne.csv`` and ``umap.csv``.

    Args:
        teacher: Modality of the teacher of the panel.
        modality: Modality of the student.
        student: Label of the student of the panel.
        role: ``teacher`` or ``student``: whose features they are.
        label: Name of the class.
        x: First coordinate.
        y: Second coordinate.
    """

    teacher: str
    modality: str
    student: str
    role: str
    label: str
    x: float
    y: float


class BandRow(NamedTuple):
    """A point of a curve of band similarities, ``bands.csv``: a ``BandPoint`` and its networks."""

    teacher: str
    student: str
    variant: str
    band: str
    position: float
    cosine: float
    low: float
    high: float


class LayerRow(NamedTuple):
    """Linear CKA of two layers, ``layers.csv``: a ``LayerPair`` and its networks."""

    teacher: str
    student: str
    teacher_layer: str
    student_layer: str
    cka: float
    shuffled: float


class GradientRow(NamedTuple):
    """The gradient of a term on one batch, ``gradients.csv``.

    Args:
        student: Label of the student whose weights it is taken at.
        criterion: ``trained``: the criterion has the weights of the student's checkpoint, or needs
            none; ``untrained``: as initialised.
        batch: Number of the batch.
        term: Name of the term; ``task``: the task loss.
        norm: Its Euclidean norm.
        share: The norm's share of the sum over all terms; NaN if that is 0.
        cosine: Cosine with the task loss's gradient; NaN where one is 0.
    """

    student: str
    criterion: str
    batch: int
    term: str
    norm: float
    share: float
    cosine: float


class ConfusionRow(NamedTuple):
    """Samples of a class that a student takes for another, ``confusion.csv``; none of 0."""

    student: str
    label: str
    predicted: str
    samples: int


class CalibrationRow(NamedTuple):
    """A bin of a student's reliability diagram, ``calibration.csv``: a ``Bin`` and its student."""

    student: str
    low: float
    high: float
    samples: int
    confidence: float
    accuracy: float
    share: float
