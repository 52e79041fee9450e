"""The row of a teacher in the table: its pairs, its classes, and the student's headroom."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import nn

from fdkd_lightning.analysis.collected import Split
from fdkd_lightning.analysis.labelled_pairs import labelled_pairs
from fdkd_lightning.analysis.linear_classifier import probe_accuracy
from fdkd_lightning.analysis.pair_statistics import compare_pairs
from fdkd_lightning.models.pretrained import PretrainedModel
from fdkd_lightning.training.run.checkpoint_description import describe_checkpoint
from fdkd_lightning.types import IGNORE_INDEX


def pair_row(
    splits: Mapping[str, Split], teacher: str, threshold: float, max_pairs: int
) -> dict[str, Any]:
    """Return the statistics of a teacher's labelled pairs with the student."""
    first, second, label, groups = labelled_pairs([*splits.values()], teacher, "student", max_pairs)
    return asdict(compare_pairs(first, second, label, groups, threshold))


def class_row(
    splits: Mapping[str, Split], name: str, teacher: nn.Module, names: list[str]
) -> dict[str, Any]:
    """Return the teacher's accuracy, that of a probe on its features, and of the largest class."""
    train, val = splits["train"], splits["val"]
    label = val.label[val.label != IGNORE_INDEX]
    classes = len(names) or val.outputs["student"].logits.shape[1]
    known = [*getattr(teacher, "class_names", ())]
    knows = known == names if known and names else val.outputs[name].logits.shape[1] == classes
    stored = None
    if not knows and isinstance(teacher, PretrainedModel):
        validation = describe_checkpoint(teacher.checkpoint)["validation"] or {}
        stored = validation.get("metrics", {}).get("val/accuracy")
    return {
        "teacher_knows_classes": knows,
        # Of other classes: the validation accuracy that its checkpoint states.
        "teacher_accuracy": val.accuracy(name) if knows else stored,
        "probe_accuracy": probe_accuracy(
            train.outputs[name].features,
            train.labels_of(name),
            val.outputs[name].features,
            val.labels_of(name),
            classes,
        ),
        "probe_labels": int((train.labels_of(name) != IGNORE_INDEX).sum()),
        "chance": float(label.bincount().max() / len(label)),
    }


def student_row(val: Split, checkpoint: str | None) -> dict[str, Any]:
    """Return the accuracy of the student trained without teacher, and its headroom."""
    accuracy = None if checkpoint is None else val.accuracy("student")
    return {
        "student_checkpoint": checkpoint,
        "student_accuracy": accuracy,
        "headroom": None if accuracy is None else 1 - accuracy,
    }
