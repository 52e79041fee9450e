"""The values of the figures that ``fdkd analyze`` is asked for, each in a CSV file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor

from fdkd_lightning.analysis.band_curves import band_curves
from fdkd_lightning.analysis.calibration import calibration_bins
from fdkd_lightning.analysis.collected import Split
from fdkd_lightning.analysis.confusion import confused_pairs, confusion_matrix
from fdkd_lightning.analysis.embedding import MIN_ROWS, tsne, umap
from fdkd_lightning.analysis.figure_rows import (
    BandRow,
    CalibrationRow,
    ConfusionRow,
    EmbeddedPoint,
    LayerRow,
)
from fdkd_lightning.analysis.labelled_pairs import labelled_pairs
from fdkd_lightning.analysis.layer_similarity import layer_similarities
from fdkd_lightning.analysis.loading.batches import training_batches
from fdkd_lightning.analysis.loading.read_layers import read_layers
from fdkd_lightning.analysis.loading.students import Student
from fdkd_lightning.analysis.loading.training_terms import training_gradients
from fdkd_lightning.analysis.row_file import write_rows
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.types import IGNORE_INDEX

NO_CHECKPOINT = "no student is trained: give --student_checkpoint or --students"


@dataclass(frozen=True)
class Material:
    """All that figures are computed from.

    Args:
        module: The configuration's module, with its teachers' weights.
        data: The data module, set up for fit.
        trainer: The trainer, for device and progress bar.
        students: The students of the figures.
        splits: ``train`` and ``val`` -> outputs of all networks.
        class_names: Names of the classes; empty if the data has none.
        max_pairs: Most pairs of bands and layers.
        embedded_pairs: Most pairs of an embedding.
        layers: Modality -> names of the layers to compare.
        gradient_batches: Number of training batches.
    """

    module: DistillationModule
    data: LightningDataModule
    trainer: Trainer
    students: Sequence[Student]
    splits: Mapping[str, Split]
    class_names: Sequence[str]
    max_pairs: int
    embedded_pairs: int
    layers: Mapping[str, Sequence[str]]
    gradient_batches: int

    def names(self, classes: int) -> list[str]:
        """Return the names of the classes, or their numbers."""
        known = [*self.class_names]
        return known + [str(number) for number in range(len(known), classes)]


class LeftOutError(Exception):
    """A figure cannot be made of these networks; the message says why."""


def write_figure_values(folder: Path, figures: Sequence[str], material: Material) -> dict[str, Any]:
    """Write a CSV file per figure; return figure -> None, or why it is left out.

    Args:
        folder: An existing folder.
        figures: Names of the figures.
        material: What they are computed from.
    """
    left_out: dict[str, Any] = {}
    for name in dict.fromkeys(figures):
        path = folder / f"{name}.csv"
        # That of an earlier analysis would be taken for this one's.
        path.unlink(missing_ok=True)
        left_out[name] = None
        if material.trainer.progress_bar_callback is not None:
            print(f"computing {name} ...", flush=True)
        try:
            rows = FIGURES[name](material)
        except LeftOutError as error:
            left_out[name] = str(error)
            continue
        if rows:
            write_rows(path, type(rows[0]), rows)
    return left_out


def _embedded(material: Material, embed: Callable[[Tensor], Tensor]) -> list[Any]:
    found = []
    for teacher in material.module.teachers:
        for student in material.students:
            pairs = _pairs(material, teacher, student, ["val"], material.embedded_pairs)
            _check_widths(pairs.first, pairs.second)
            if 2 * len(pairs.label) < MIN_ROWS:
                raise LeftOutError(
                    f"{len(pairs.label)} validation pairs of {teacher} and student have a label"
                )
            places = embed(torch.cat([pairs.first, pairs.second])).tolist()
            names = material.names(int(pairs.label.max()) + 1)
            label = [names[number] for number in pairs.label.tolist()] * 2
            roles = ["teacher"] * len(pairs.label) + ["student"] * len(pairs.label)
            found += [
                EmbeddedPoint(teacher, material.module.modality, student.label, role, name, x, y)
                for role, name, (x, y) in zip(roles, label, places, strict=True)
            ]
    return found


def _bands(material: Material) -> list[Any]:
    found = []
    for teacher in material.module.teachers:
        for student in material.students:
            pairs = _pairs(material, teacher, student, ["train", "val"], material.max_pairs)
            _check_widths(pairs.first, pairs.second)
            points = band_curves(pairs.first, pairs.second, pairs.groups)
            found += [BandRow(teacher, student.label, *point) for point in points]
    return found


def _layers(material: Material) -> list[Any]:
    module = material.module
    networks = {f"{name} teacher": (name, module.teachers[name]) for name in module.teachers}
    networks |= {each.name: (module.modality, each.network) for each in material.students}
    unknown = material.layers.keys() - {modality for modality, _ in networks.values()}
    if unknown:
        raise ValueError(
            f"layers names {', '.join(sorted(unknown))}, which is no modality of student or "
            f"teachers: name {', '.join(dict.fromkeys(m for m, _ in networks.values()))}"
        )
    outputs = read_layers(
        material.data, networks, material.layers, material.max_pairs, material.trainer
    )
    return [
        LayerRow(teacher, student.label, *pair)
        for teacher in module.teachers
        for student in material.students
        for pair in layer_similarities(outputs[f"{teacher} teacher"], outputs[student.name])
    ]


def _gradients(material: Material) -> list[Any]:
    if material.module.task_weight is None:
        raise LeftOutError("task_weight is null, and there is no task loss to compare with")
    batches = training_batches(
        material.data, material.gradient_batches, material.trainer, "gradients"
    )
    return [*training_gradients(material.module, material.students, batches)]


def _confusion(material: Material) -> list[Any]:
    found = []
    for student, logits, label in _predictions(material):
        classes = logits.shape[1]
        matrix = confusion_matrix(logits.argmax(1), label, classes)
        pairs = confused_pairs(material.names(classes), matrix)
        found += [ConfusionRow(student, *pair) for pair in pairs]
    return found


def _calibration(material: Material) -> list[Any]:
    return [
        CalibrationRow(student, *bin)
        for student, logits, label in _predictions(material)
        for bin in calibration_bins(logits.double().softmax(1).float(), label)
    ]


def _cutoff(material: Material) -> list[Any]:
    """The report reads it from the logs of the students' runs."""
    _trained(material)
    return []


FIGURES: dict[str, Callable[[Material], list[Any]]] = {
    "tsne": lambda material: _embedded(material, tsne),
    "umap": lambda material: _embedded(material, umap),
    "bands": _bands,
    "layers": _layers,
    "gradients": _gradients,
    "confusion": _confusion,
    "calibration": _calibration,
    "cutoff": _cutoff,
}
"""Name of a figure -> what computes the rows of its CSV file."""


def _trained(material: Material) -> list[Student]:
    found = [student for student in material.students if student.checkpoint is not None]
    if not found:
        raise LeftOutError(NO_CHECKPOINT)
    return found


def _predictions(material: Material) -> list[tuple[str, Tensor, Tensor]]:
    """Label of each trained student, and its logits and the labels of the validation split."""
    val, found = material.splits["val"], []
    for student in _trained(material):
        label = val.labels_of(student.name)
        known = label != IGNORE_INDEX
        found.append((student.label, val.outputs[student.name].logits[known], label[known]))
    return found


def _pairs(
    material: Material, teacher: str, student: Student, splits: Sequence[str], most: int
) -> Any:
    chosen = [material.splits[split] for split in splits]
    return labelled_pairs(chosen, f"{teacher} teacher", student.name, most)


def _check_widths(first: Tensor, second: Tensor) -> None:
    if first.shape[1] != second.shape[1]:
        raise LeftOutError(
            f"the features of teacher and student differ in width, {first.shape[1]} and "
            f"{second.shape[1]}"
        )
