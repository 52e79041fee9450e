"""Teachers: beside the module that trains, never inside it."""

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from lightning.pytorch.utilities.seed import isolate_rng
from torch import nn

from fdkd_lightning.models.pretrained import load_pretrained
from fdkd_lightning.ops.precision import cast_to_model_dtype
from fdkd_lightning.training.missing_modality import MIN_SAMPLES, present_mask, select
from fdkd_lightning.training.probe import as_output, check_output, modality_input
from fdkd_lightning.types import IGNORE_INDEX, Batch, Output


class TeacherWarning(UserWarning):
    """A teacher does hardly better than guessing: there is nothing to learn from it."""


class FrozenTeachers(Mapping[str, nn.Module]):
    """Teachers by modality, kept out of the module tree.

    What is not in the tree cannot be put into train mode, optimised, written to a checkpoint,
    wrapped by DDP (which would broadcast batch-norm buffers each step) or compiled by accident;
    what remains to be done by hand is to move it to the device.

    Args:
        teachers: Modality -> network that returns :class:`~fdkd_lightning.types.Output`.

    Example:
        >>> from fdkd_lightning.models.resnet import ResNet
        >>> teachers = FrozenTeachers({"audio": ResNet(10, in_chans=1)})
        >>> any(p.requires_grad for p in teachers["audio"].parameters())
        False
    """

    def __init__(self, teachers: Mapping[str, nn.Module]) -> None:
        self._teachers = dict(teachers)
        for teacher in self._teachers.values():
            teacher.requires_grad_(False).eval()

    def __getitem__(self, modality: str) -> nn.Module:
        """The teacher of a modality."""
        return self._teachers[modality]

    def __iter__(self) -> Iterator[str]:
        """The modalities."""
        return iter(self._teachers)

    def __len__(self) -> int:
        """How many teachers there are."""
        return len(self._teachers)

    def load(self) -> None:
        """Read the weights of those that are a ``PretrainedModel``."""
        for teacher in self._teachers.values():
            load_pretrained(teacher)
            # Some build their parameters only now.
            teacher.requires_grad_(False)

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> None:
        """Move them to the device, and to another type."""
        for teacher in self._teachers.values():
            teacher.to(device=device, dtype=dtype)

    def join(self, trainer: Trainer, student: LightningModule) -> None:
        """Bring them to the student's device.

        With ``bf16-true`` and its like they become of its type, as the student itself does. With
        the trainer's default they keep theirs, be it half precision, and inputs are converted.
        """
        lower = str(trainer.precision) in ("16-true", "bf16-true", "64-true")
        self.to(student.device, next(student.parameters()).dtype if lower else None)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> dict[str, Output]:
        """Each teacher's output for the samples that have its modality, without gradients.

        A teacher whose modality all samples lack is left out.
        """
        # Not inference_mode: autograd reads these tensors when it differentiates a distance.
        outputs = {}
        for modality, x in _inputs(self._teachers, batch, 1):
            teacher = self._teachers[modality].eval()
            outputs[modality] = as_output(teacher(cast_to_model_dtype(teacher, x)))
        return outputs


class TrainedTeachers(nn.ModuleDict):
    """Teachers that are trained along with their student: the exception to ask for by name.

    They are part of the module tree: in train mode, optimised and in the checkpoint. C2KD in its
    published form and mutual learning need it.

    Args:
        teachers: Modality -> network that returns :class:`~fdkd_lightning.types.Output`.

    Example:
        >>> from fdkd_lightning.models.resnet import ResNet
        >>> teachers = TrainedTeachers({"audio": ResNet(10, in_chans=1)})
        >>> all(p.requires_grad for p in teachers["audio"].parameters())
        True
    """

    def __init__(self, teachers: Mapping[str, nn.Module]) -> None:
        super().__init__(dict(teachers))
        # However they come: many loaders give networks in eval mode, and some frozen.
        self.requires_grad_(True).train()

    def load(self) -> None:
        """Read the weights of those that are a ``PretrainedModel``."""
        load_pretrained(self)

    def forward(self, batch: Batch) -> dict[str, Output]:
        """Each teacher's output for the samples that have its modality, with gradients.

        A teacher whose modality all samples lack is left out, in training one also that would
        learn from a single sample of several.
        """
        return {
            modality: as_output(self[modality](x))
            for modality, x in _inputs(self, batch, MIN_SAMPLES if self.training else 1)
        }


def _inputs(
    teachers: Mapping[str, nn.Module] | nn.ModuleDict, batch: Batch, least: int
) -> Iterator[tuple[str, Any]]:
    """Modality and input of each teacher, without the blanks."""
    for modality in teachers:
        x = modality_input(batch, modality)
        has = present_mask(batch, modality)
        if has is None:
            yield modality, x
        elif int(has.sum()) >= least:
            yield modality, select(x, has, modality)


def check_apart(student: nn.Module, teachers: Mapping[str, nn.Module]) -> None:
    """Raise if a teacher has weights of the student, which would be frozen with it."""
    own = {id(p) for p in student.parameters()}
    for modality, teacher in teachers.items():
        if any(id(p) in own for p in teacher.parameters()):
            raise ValueError(
                f"teachers[{modality!r}] shares weights with the student and would freeze it: "
                "give it a copy (copy.deepcopy)"
            )


def check_teachers(
    teachers: FrozenTeachers | TrainedTeachers,
    trainer: Trainer,
    device: torch.device,
    max_batches: int,
    read: Callable[[Any], Batch],
) -> dict[str, float]:
    """Measure each teacher's accuracy on validation batches; warn of one that is near chance.

    A teacher with the wrong weights, classes or input does not fail, it only teaches nothing;
    this is where that shows. The accuracy goes to the loggers as ``teacher/<modality>/accuracy``.

    Args:
        teachers: The teachers, loaded and on the device.
        trainer: A trainer whose fit has begun, for the validation data, precision and loggers.
        device: Where the teachers are.
        max_batches: How many batches are looked at; 0 measures nothing.
        read: Finds the teachers' inputs and the labels in a batch.

    Returns:
        Modality -> share that it classifies rightly of the labelled samples that have it; without
        such samples there is no entry.

    Raises:
        ValueError: If a teacher's output is not finite.
    """
    if not teachers or not max_batches:
        return {}
    if not trainer.enable_validation:
        return {}
    trainer.fit_loop.epoch_loop.val_loop.setup_data()  # not done yet without a sanity check
    loaders = CombinedLoader(trainer.val_dataloaders, "sequential").flattened
    right = {modality: torch.zeros((), device=device) for modality in teachers}
    # Of the samples that have its modality, counted batch by batch: each pixel may have a label.
    none = torch.zeros(0, dtype=torch.int64, device=device)
    per_class = dict.fromkeys(teachers, none)
    with isolate_rng(), _validating(trainer, teachers):
        for batch in itertools.islice(itertools.chain(*loaders), max_batches):
            batch = trainer.lightning_module._on_before_batch_transfer(batch)
            batch = trainer.precision_plugin.convert_input(batch)
            batch = read(trainer.strategy.batch_to_device(batch, device))
            with trainer.precision_plugin.forward_context():
                outputs = teachers(batch)
            for modality, output in outputs.items():
                check_output(f"{modality} teacher", output)
                has = present_mask(batch, modality)
                target = batch["label"] if has is None else batch["label"][has]
                seen_before = per_class[modality]
                size = max(len(seen_before), output.logits.shape[1])
                found = torch.bincount(target[target != IGNORE_INDEX], minlength=size)
                found[: len(seen_before)] += seen_before
                per_class[modality] = found
                right[modality] += (output.logits.argmax(1) == target).sum()
    # Under DDP each process has its own share of the validation data, and may lack a teacher's.
    longest = max(map(len, per_class.values()))
    classes = int(trainer.strategy.reduce(torch.tensor(longest, device=device), reduce_op="max"))
    accuracies: dict[str, float] = {}
    for modality, hits in right.items():
        counts = F.pad(per_class[modality], (0, classes - len(per_class[modality])))
        counts = trainer.strategy.reduce(counts, reduce_op="sum")
        correct = float(trainer.strategy.reduce(hits, reduce_op="sum"))
        seen = int(counts.sum())
        if not seen:
            continue
        chance = int(counts.max()) / seen
        # Two standard errors above always naming the most frequent class.
        near_chance = chance + 2 * math.sqrt(chance * (1 - chance) / seen)
        accuracy = correct / seen
        accuracies[modality] = accuracy
        rank_zero_info(f"{modality} teacher: accuracy {accuracy:.3f} on {seen} validation samples")
        for logger in trainer.loggers:
            logger.log_metrics({f"teacher/{modality}/accuracy": accuracy}, step=0)
        if accuracy <= near_chance and trainer.is_global_zero:
            warnings.warn(
                f"the {modality} teacher's accuracy is {accuracy:.3f} on {seen} validation "
                f"samples, where always naming the most frequent class gives {chance:.3f}: "
                "check its checkpoint, its classes and the input it gets",
                TeacherWarning,
                stacklevel=2,
            )
    return accuracies


@contextmanager
def _validating(trainer: Trainer, teachers: FrozenTeachers | TrainedTeachers) -> Iterator[None]:
    """For the data's transforms and for teachers, which differ while the trainer trains."""
    trainer.validating = True
    modes = {}
    if isinstance(teachers, TrainedTeachers):
        modes = {module: module.training for module in teachers.modules()}
        teachers.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        trainer.training = True
        for module, training in modes.items():
            module.training = training
