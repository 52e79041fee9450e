"""The parts of a configured run whose time is taken: student, teachers, criterion."""

from collections.abc import Mapping
from typing import NamedTuple

from lightning.pytorch import LightningModule, Trainer
from torch import nn

from fdkd_lightning.training.cache.cached_teacher import CachedTeacher
from fdkd_lightning.training.callback.callback import DistillationCallback
from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.teachers import FrozenTeachers, TrainedTeachers
from fdkd_lightning.training.trainer_callbacks import trainer_callbacks
from fdkd_lightning.training.unimodal import UnimodalModule


class RunParts(NamedTuple):
    """The parts of a run.

    Args:
        teachers: The teachers; None: it has none.
        distiller: Criterion and projector; None: nothing is distilled.
        student: The student's network; None: another's module, whose step is the student's.
        callback: The callback that distils; None: the module does.
    """

    teachers: FrozenTeachers | TrainedTeachers | None
    distiller: Distiller | None
    student: nn.Module | None
    callback: DistillationCallback | None

    def named_teachers(self) -> Mapping[str, nn.Module]:
        """Return modality -> teacher."""
        return {} if self.teachers is None else dict(self.teachers.items())

    def why_not_cached(self) -> str | None:
        """Return why a teacher cache would change nothing; None: it may."""
        if not self.named_teachers():
            return "the run has no teacher"
        if isinstance(self.teachers, TrainedTeachers):
            return "the teachers are trained (train_teachers=True)"
        if all(isinstance(x, CachedTeacher) for x in self.named_teachers().values()):
            return "the teachers' outputs are read from a cache already"
        return None


def parts_of(model: LightningModule, trainer: Trainer) -> RunParts:
    """Return the parts of a run, of this package's modules or under its callback.

    Example:
        >>> from fdkd_lightning.models.resnet import ResNet
        >>> module = UnimodalModule(ResNet(2, in_chans=1), "audio")
        >>> parts_of(module, Trainer(logger=False, accelerator="cpu")).why_not_cached()
        'the run has no teacher'
    """
    for callback in trainer_callbacks(trainer):
        if isinstance(callback, DistillationCallback):
            return RunParts(callback.teachers, callback.distiller, None, callback)
    if isinstance(model, DistillationModule):
        return RunParts(model.teachers, model.distiller, model.model, None)
    student = model.model if isinstance(model, UnimodalModule) else None
    return RunParts(None, None, student, None)
