"""Accuracy, or other metrics, of the teachers on validation data, measured before training."""

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.training.cache.cached_teacher import CachedTeacher, with_presence
from fdkd_lightning.training.first_batch import FirstBatch
from fdkd_lightning.training.missing_modality import present_mask
from fdkd_lightning.training.probe import check_output, class_names_of
from fdkd_lightning.training.teacher_scores import TeacherScores
from fdkd_lightning.training.teachers import FrozenTeachers, TrainedTeachers
from fdkd_lightning.types import IGNORE_INDEX, Batch


class TeacherWarning(UserWarning):
    """A teacher is hardly better than chance: the student can learn nothing from it."""


def check_teachers(
    teachers: FrozenTeachers | TrainedTeachers,
    trainer: Trainer,
    device: torch.device,
    max_batches: int,
    read: Callable[[Any], Batch],
    task: Task,
) -> dict[str, float]:
    """Measure each teacher's accuracy on validation batches; warn if it is near chance.

    A teacher whose checkpoint names other classes than the data module is reported as such instead.
    Where there is not one class per sample, the task's default metrics are reported, without a
    warning; a teacher whose outputs do not fit the labels is not measured.

    A teacher with the wrong weights, classes or input raises no error; it only teaches nothing.
    This check shows it. The accuracy goes to the loggers as ``teacher/<modality>/accuracy``.
    Random generators, train and eval modes and the trainer's state are left as they were.

    Args:
        teachers: The teachers, loaded and on the device.
        trainer: A trainer whose fit has begun; it provides validation data, precision and loggers.
        device: The teachers' device.
        max_batches: Largest number of batches to evaluate; 0 skips the check.
        read: Returns the teachers' inputs and the labels of a batch.
        task: What the labels mean.

    Returns:
        Modality -> accuracy on the labelled samples (or pixels) that have this modality; for other
        tasks the first metric. A teacher without such samples has no entry.
    """
    foreign = _foreign_teachers(teachers, class_names_of(getattr(trainer, "datamodule", None)))
    if len(foreign) == len(teachers) or not max_batches or not trainer.enable_validation:
        return {}
    for modality, teacher in teachers.items():
        if isinstance(teacher, CachedTeacher) and "val" not in teacher.store.manifest.splits:
            rank_zero_info(f"the {modality} teacher's cache has no validation samples: no check")
            return {}
    trainer.fit_loop.epoch_loop.val_loop.setup_data()  # not done yet without a sanity check
    scores = {name: _scores(task, device) for name in teachers if name not in foreign}
    with isolate_rng(), _validating(trainer, teachers):
        for batch in itertools.islice(_validation_batches(trainer, device), max_batches):
            batch = with_presence(teachers, read(batch))
            with trainer.precision_plugin.forward_context():
                outputs = teachers(batch)
            for modality, output in outputs.items():
                check_output(f"{modality} teacher", output)
                if modality in foreign:
                    continue
                present = present_mask(batch, modality)
                target = batch["label"] if present is None else batch["label"][present]
                scores[modality].update(output.logits, target)
    found: dict[str, float] = {}
    for modality, score in scores.items():
        if isinstance(score, TeacherScores):
            value = score.report(trainer, modality)
            found |= {} if value is None else {modality: value}
            continue
        correct, labelled, most_frequent = score.compute().tolist()
        if labelled:
            found[modality] = correct / labelled
            _report(trainer, modality, correct / labelled, most_frequent / labelled, labelled)
    return found


def live_scores(scores: Mapping[str, float]) -> dict[str, float]:
    """Name the teachers' scores as the progress bar shows them.

    Example:
        >>> live_scores({"audio": 0.5})
        {'audio teacher': 0.5}
    """
    return {f"{modality} teacher": value for modality, value in scores.items()}


def _scores(task: Task, device: torch.device) -> "LabelCounts | TeacherScores":
    is_class = isinstance(task, OneClassTask)
    return LabelCounts().to(device) if is_class else TeacherScores(task, device)


def is_readable(trainer: Trainer, read: Callable[[Any], Batch], task: Task) -> bool:
    """Return whether validation data can be read twice, with labels and the teachers' inputs."""
    if not trainer.enable_validation:
        return False
    trainer.fit_loop.epoch_loop.val_loop.setup_data()
    loaders = CombinedLoader(trainer.val_dataloaders, "sequential").flattened
    again = (
        isinstance(x, DataLoader) and not isinstance(x.dataset, IterableDataset) for x in loaders
    )
    if not loaders or not all(again):
        return False
    try:
        label = read(FirstBatch(loaders[0]).batch)["label"]
    except (LookupError, TypeError, AttributeError) as error:  # a key may be a user's function
        rank_zero_info(f"the teachers are not checked on validation data: {error}")
        return False
    if not isinstance(task, OneClassTask):
        return isinstance(label, Tensor)
    return isinstance(label, Tensor) and label.dtype == torch.int64


class LabelCounts(Metric):
    """Number of correct predictions, of labels, and of labels of the most frequent class.

    ``torchmetrics.classification`` needs the number of classes in advance. It is unknown here: a
    rank may hold no sample of a modality, and the labels may exceed a wrong teacher's classes.

    Shape:
        - logits: [N, K] or [N, K, H, W]
        - target: [N] or [N, H, W] int64; -100 where there is no label
        - output: [3] int64

    Example:
        >>> counts = LabelCounts()
        >>> counts.update(torch.eye(3), torch.tensor([0, 0, -100]))
        >>> counts.compute()
        tensor([1, 2, 2])
    """

    full_state_update = False
    correct: Tensor
    class_counts: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("correct", torch.tensor(0), dist_reduce_fx="sum")
        # Rows of a class and its number of labels, which ranks concatenate.
        self.add_state("class_counts", [], dist_reduce_fx="cat")
        # Without an entry, torchmetrics would gather a float tensor of another shape on this rank.
        self.update(torch.zeros(0, 1), torch.zeros(0, dtype=torch.int64))

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch."""
        self.correct = self.correct + (logits.argmax(1) == target).sum()
        labels = target[target != IGNORE_INDEX]
        classes, counts = torch.unique(labels, return_counts=True)
        self.class_counts.append(torch.stack([classes, counts], 1))

    def compute(self) -> Tensor:
        """Return the three numbers, over all batches and ranks."""
        classes, counts = dim_zero_cat(self.class_counts).unbind(1)
        _, row = torch.unique(classes, return_inverse=True)
        per_class = counts.new_zeros(len(counts) + 1).index_add(0, row, counts)
        return torch.stack([self.correct, per_class.sum(), per_class.max()])


def _foreign_teachers(teachers: FrozenTeachers | TrainedTeachers, names: Sequence[Any]) -> set[str]:
    """Return the modalities whose teachers were trained on other classes, and report them."""
    found = set()
    for modality in teachers:
        known = getattr(teachers[modality], "class_names", ())
        if not known or not len(names) or [*known] == [str(name) for name in names]:
            continue
        found.add(modality)
        text = (
            f"the {modality} teacher was trained on other classes ({', '.join(known[:5])}"
            f"{', ...' if len(known) > 5 else ''}): its accuracy is not measured, and its features "
            "alone can teach"
        )
        # With as many classes, a loss between logits would pair classes that are not the same.
        if len(known) == len(names):
            rank_zero_warn(f"{text}; a loss that compares logits would pair different classes")
        else:
            rank_zero_info(text)
    return found


def _validation_batches(trainer: Trainer, device: torch.device) -> Iterator[Any]:
    for batch in itertools.chain(*CombinedLoader(trainer.val_dataloaders, "sequential").flattened):
        batch = trainer.lightning_module._on_before_batch_transfer(batch)
        batch = trainer.precision_plugin.convert_input(batch)
        yield trainer.strategy.batch_to_device(batch, device)


def _report(trainer: Trainer, modality: str, accuracy: float, chance: float, labelled: int) -> None:
    rank_zero_info(f"{modality} teacher: accuracy {accuracy:.3f} on {labelled} validation samples")
    for logger in trainer.loggers:
        logger.log_metrics({f"teacher/{modality}/accuracy": accuracy}, step=0)
    # Two standard errors above always predicting the most frequent class.
    near_chance = chance + 2 * math.sqrt(chance * (1 - chance) / labelled)
    if accuracy <= near_chance and trainer.is_global_zero:
        warnings.warn(
            f"the {modality} teacher's accuracy is {accuracy:.3f} on {labelled} validation "
            f"samples, where always naming the most frequent class gives {chance:.3f}: "
            "check its checkpoint, its classes and the input it gets",
            TeacherWarning,
            stacklevel=3,
        )


@contextmanager
def _validating(trainer: Trainer, teachers: FrozenTeachers | TrainedTeachers) -> Iterator[None]:
    """Put the trainer (for the data's transforms) and the teachers into evaluation."""
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
