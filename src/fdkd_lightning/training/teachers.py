"""Teachers of a student: frozen and outside the module tree, or trained inside it."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from fdkd_lightning.models.pretrained import load_pretrained
from fdkd_lightning.ops.precision import cast_to_model_dtype
from fdkd_lightning.ops.tensor_checks import check_module
from fdkd_lightning.training.cache.cached_teacher import (
    CachedTeacher,
    teacher_input,
    teacher_present,
)
from fdkd_lightning.training.missing_modality import MIN_SAMPLES, select
from fdkd_lightning.training.probe import as_output
from fdkd_lightning.training.run_network import run_network
from fdkd_lightning.types import Batch, Output


class FrozenTeachers(Mapping[str, nn.Module]):
    """Frozen teachers by modality, kept out of the module tree.

    A network outside the tree cannot be put into train mode, optimised, written to a checkpoint,
    wrapped by DDP (which would broadcast its batch-norm buffers each step) or compiled by accident.
    It has to be moved to the device explicitly: see :meth:`join`.

    Args:
        teachers: Modality -> network that returns :class:`~fdkd_lightning.types.Output`. Its
            parameters are frozen, and it is put into eval mode.

    Example:
        >>> from fdkd_lightning.models.resnet import ResNet
        >>> teachers = FrozenTeachers({"audio": ResNet(10, in_chans=1)})
        >>> any(p.requires_grad for p in teachers["audio"].parameters())
        False
    """

    def __init__(self, teachers: Mapping[str, nn.Module]) -> None:
        _check_networks(teachers)
        self._teachers = dict(teachers)
        self._given = self._teachers
        for teacher in self._teachers.values():
            teacher.requires_grad_(False).eval()

    def __getitem__(self, modality: str) -> nn.Module:
        """Return the teacher of a modality."""
        return self._teachers[modality]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the modalities."""
        return iter(self._teachers)

    def __len__(self) -> int:
        """Return the number of teachers."""
        return len(self._teachers)

    def given(self) -> dict[str, nn.Module]:
        """Return the teachers that the constructor got."""
        return dict(self._given)

    def use_caches(self, cached: Mapping[str, CachedTeacher]) -> None:
        """Use these in the place of the teachers of the same modalities; ``{}``: none."""
        self._teachers = {**self._given, **cached}

    def set_epoch(self, epoch: int) -> None:
        """Choose the view of the epoch in caches of several views."""
        for teacher in self._teachers.values():
            if isinstance(teacher, CachedTeacher):
                teacher.set_epoch(epoch)

    def load(self) -> None:
        """Read the weights of every :class:`~fdkd_lightning.PretrainedModel` and its like."""
        for teacher in self._teachers.values():
            load_pretrained(teacher)

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> None:
        """Move the teachers to a device, and optionally to another dtype."""
        for teacher in self._teachers.values():
            teacher.to(device=device, dtype=dtype)

    def join(self, trainer: Trainer, student: LightningModule) -> None:
        """Move the teachers to the student's device.

        With ``bf16-true``, ``16-true`` and ``64-true`` they also get the student's dtype. With any
        other precision they keep their own dtype, and their inputs are cast to it.
        """
        true_precision = str(trainer.precision) in ("16-true", "bf16-true", "64-true")
        self.to(student.device, next(student.parameters()).dtype if true_precision else None)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> dict[str, Output]:
        """Return each teacher's output for the samples that have its modality, without gradients.

        A teacher whose modality no sample has is left out.
        """
        # Not inference_mode: autograd reads these tensors when it differentiates a distance.
        outputs = {}
        for modality, x in _inputs(self._teachers, batch, 1):
            teacher = self._teachers[modality].eval()
            outputs[modality] = as_output(teacher(cast_to_model_dtype(teacher, x)))
        return outputs


class TrainedTeachers(nn.ModuleDict):
    """Teachers that are trained together with the student.

    They are part of the module tree: in train mode, optimised and in the checkpoint. C2KD in its
    published form and mutual learning need this.

    Args:
        teachers: Modality -> network that returns :class:`~fdkd_lightning.types.Output`. All its
            parameters are made trainable, and it is put into train mode.

    Example:
        >>> from fdkd_lightning.models.resnet import ResNet
        >>> teachers = TrainedTeachers({"audio": ResNet(10, in_chans=1)})
        >>> all(p.requires_grad for p in teachers["audio"].parameters())
        True
    """

    def __init__(self, teachers: Mapping[str, nn.Module]) -> None:
        for modality, teacher in teachers.items():
            if isinstance(teacher, CachedTeacher):
                raise ValueError(
                    f"teachers[{modality!r}] is a CachedTeacher, which has no weights to train: "
                    "give the network, or leave out train_teachers"
                )
        super().__init__(dict(teachers))
        # Many libraries return networks in eval mode, and some return frozen ones.
        self.requires_grad_(True).train()

    def load(self) -> None:
        """Read the weights of every :class:`~fdkd_lightning.PretrainedModel` and its like."""
        load_pretrained(self)

    def forward(self, batch: Batch) -> dict[str, Output]:
        """Return each teacher's output for the samples that have its modality, with gradients.

        A teacher whose modality no sample has is left out. In train mode, so is a teacher whose
        modality only one of several samples has, since batch norm cannot learn from one sample.
        """
        return {
            modality: as_output(run_network(self[modality], x))
            for modality, x in _inputs(self, batch, MIN_SAMPLES if self.training else 1)
        }


def _inputs(
    teachers: Mapping[str, nn.Module] | nn.ModuleDict, batch: Batch, min_samples: int
) -> Iterator[tuple[str, Any]]:
    """Yield each teacher's modality and input, without the samples that lack the modality."""
    for modality in teachers:
        x = teacher_input(teachers[modality], batch, modality)
        present = teacher_present(teachers[modality], batch, modality)
        if present is None:
            yield modality, x
        elif int(present.sum()) >= min_samples:
            yield modality, select(x, present, modality)


def check_apart(student: nn.Module, teachers: Mapping[str, nn.Module]) -> None:
    """Raise if a teacher shares parameters with the student, which would freeze them."""
    check_module("student", student)
    _check_networks(teachers)
    student_parameters = {id(p) for p in student.parameters()}
    for modality, teacher in teachers.items():
        if any(id(p) in student_parameters for p in teacher.parameters()):
            raise ValueError(
                f"teachers[{modality!r}] shares weights with the student and would freeze it: "
                "give it a copy (copy.deepcopy)"
            )


def _check_networks(teachers: Any) -> None:
    if not isinstance(teachers, Mapping | nn.ModuleDict):
        raise TypeError(
            f"teachers is of type {type(teachers).__name__}: give a dict of modality to network, "
            "such as {'audio': network}"
        )
    for modality, teacher in teachers.items():
        check_module(f"teachers[{modality!r}]", teacher)
