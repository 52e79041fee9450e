from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from made_up_pairs import ROWS, Data, Net, module

from fdkd_lightning.analysis.band_curves import band_curves
from fdkd_lightning.analysis.figure_rows import (
    BandRow,
    CalibrationRow,
    ConfusionRow,
    EmbeddedPoint,
    GradientRow,
    LayerRow,
)
from fdkd_lightning.analysis.labelled_pairs import labelled_pairs
from fdkd_lightning.analysis.loading.batches import collect
from fdkd_lightning.analysis.loading.figure_values import Material, write_figure_values
from fdkd_lightning.analysis.loading.students import load_students
from fdkd_lightning.analysis.row_file import read_rows


def material(data: Data, trainer: Trainer, checkpoint: str | None, **more: Any) -> Material:
    made = module(more.pop("teacher", None))
    _, students = load_students(made.model, checkpoint, {"same": checkpoint} if checkpoint else {})
    networks = {
        "student": ("visual", made.model),
        "audio teacher": ("audio", made.teachers["audio"]),
    }
    networks |= {each.name: ("visual", each.network) for each in students}
    for _, network in networks.values():
        network.eval()
    return Material(
        module=made,
        data=data,
        trainer=trainer,
        students=students,
        splits={split: collect(data, split, networks, trainer) for split in ("train", "val")},
        class_names=data.class_names,
        **{"max_pairs": 50, "embedded_pairs": 10, "layers": {}, "gradient_batches": 2, **more},
    )


def test_each_figure_has_its_values(
    data: Data, trainer: Trainer, checkpoint: str, tmp_path: Path
) -> None:
    given = material(data, trainer, checkpoint)
    names = ["bands", "layers", "gradients", "confusion", "calibration", "cutoff"]
    assert write_figure_values(tmp_path, names, given) == dict.fromkeys(names)
    bands = read_rows(tmp_path / "bands.csv", BandRow)
    pairs = labelled_pairs([*given.splits.values()], "audio teacher", "student same", 50)
    assert [row[2:] for row in bands if row.student == "same"] == [
        tuple(point) for point in band_curves(pairs.first, pairs.second)
    ]
    confusion = read_rows(tmp_path / "confusion.csv", ConfusionRow)
    for student in ("w/o KD", "same"):
        rows = [row for row in confusion if row.student == student]
        assert sum(row.samples for row in rows) == ROWS
        right = sum(row.samples for row in rows if row.label == row.predicted)
        assert right / ROWS == pytest.approx(given.splits["val"].accuracy("student"))
        assert {row.label for row in rows} == {*Data.class_names}
    calibration = read_rows(tmp_path / "calibration.csv", CalibrationRow)
    of_one = [row for row in calibration if row.student == "same"]
    assert sum(row.samples for row in of_one) == ROWS
    [layer, other] = read_rows(tmp_path / "layers.csv", LayerRow)
    assert (layer.teacher, layer.student, other.student) == ("audio", "w/o KD", "same")
    gradients = read_rows(tmp_path / "gradients.csv", GradientRow)
    assert {(row.student, row.batch) for row in gradients} == {
        (student, batch) for student in ("w/o KD", "same") for batch in (0, 1)
    }
    # The report reads it from the logs.
    assert not (tmp_path / "cutoff.csv").exists()


def test_both_networks_are_embedded_with_their_classes(
    data: Data, trainer: Trainer, tmp_path: Path
) -> None:
    pytest.importorskip("sklearn")
    assert write_figure_values(tmp_path, ["tsne"], material(data, trainer, None)) == {"tsne": None}
    points = read_rows(tmp_path / "tsne.csv", EmbeddedPoint)
    assert {(p.teacher, p.modality, p.student) for p in points} == {
        ("audio", "visual", "as configured")
    }
    roles = {role: [p.label for p in points if p.role == role] for role in ("teacher", "student")}
    assert roles["teacher"] == roles["student"]
    assert len(roles["teacher"]) == 10


class Wide(Net):
    """A teacher of wider features."""

    def forward(self, x: torch.Tensor) -> Any:
        output = super().forward(x)
        return output._replace(features=output.features.repeat(1, 2))


def test_what_cannot_be_made_is_left_out_and_old_values_go(
    data: Data, trainer: Trainer, tmp_path: Path
) -> None:
    given = material(data, trainer, None, teacher=Wide(1))
    (tmp_path / "bands.csv").write_text("old")
    given.module.task_weight = None
    reasons = write_figure_values(
        tmp_path, ["bands", "tsne", "confusion", "cutoff", "gradients"], given
    )
    width = "the features of teacher and student differ in width, 8 and 4"
    assert reasons["bands"] == reasons["tsne"] == width
    assert reasons["confusion"] == reasons["cutoff"]
    assert reasons["cutoff"].startswith("no student is trained: give --student_checkpoint")
    assert reasons["gradients"].startswith("task_weight is null")
    assert not [*tmp_path.iterdir()]


def test_layers_of_an_unknown_modality_are_refused(
    data: Data, trainer: Trainer, tmp_path: Path
) -> None:
    given = material(data, trainer, None, layers={"text": ["fc"]})
    with pytest.raises(ValueError, match=r"layers names text, which is no modality.*audio, visual"):
        write_figure_values(tmp_path, ["layers"], given)
