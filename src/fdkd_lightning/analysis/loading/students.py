"""The students of an analysis: one network with the weights of several checkpoints."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import nn

from fdkd_lightning.models.pretrained import PretrainedModel, load_pretrained

ALONE = "w/o KD"
"""Label of the student that was trained without teacher, as in the paper."""
UNTRAINED = "as configured"


class Student(NamedTuple):
    """A student of the figures.

    Args:
        label: Its name in figures.
        name: Its name among the networks whose outputs are collected.
        network: The network, with its weights.
        checkpoint: Their file; None: the network is as the configuration makes it.
    """

    label: str
    name: str
    network: nn.Module
    checkpoint: str | None


def load_students(
    network: nn.Module, alone: str | None, others: Mapping[str, str]
) -> tuple[nn.Module, list[Student]]:
    """Return the student without teacher, or as configured, and the students of the figures.

    Args:
        network: The configuration's student.
        alone: Checkpoint of the student trained without teacher; None: there is none.
        others: Label -> checkpoint.

    Raises:
        ValueError: If a label is empty or taken, or a checkpoint does not fit the network.
        FileNotFoundError: If a checkpoint does not exist.
    """
    for label in others:
        if not label.strip() or (label == ALONE and alone is not None):
            raise ValueError(
                f"students names {label!r}, which is "
                f"{'the student of --student_checkpoint' if label.strip() else 'empty'}: give it "
                "another name"
            )
    # Copied first: weights that the configuration names are not to be read for them.
    copies = {label: copy.deepcopy(network) for label in others}
    if alone is not None:
        PretrainedModel(network, Path(alone)).load()
    else:
        load_pretrained(network)
    for label, checkpoint in others.items():
        PretrainedModel(copies[label], Path(checkpoint)).load()
    found = [Student(label, f"student {label}", copies[label], others[label]) for label in others]
    if alone is not None or not found:
        label = UNTRAINED if alone is None else ALONE
        found.insert(0, Student(label, "student", network, alone))
    return network, found
