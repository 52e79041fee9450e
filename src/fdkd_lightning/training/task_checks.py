"""Checks that data and evaluation fit the task."""

from typing import Any

from lightning.pytorch import Trainer
from torch import Tensor

from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.models.dense_evaluation import DenseEvaluation
from fdkd_lightning.training.probe import check_class_names, check_target


def check_evaluation(task: Task, evaluation: DenseEvaluation | None) -> None:
    """Raise if predictions are to be averaged over windows that are not of one class per pixel.

    Example:
        >>> check_evaluation(OneClassTask(), None)
    """
    if evaluation is not None and not isinstance(task, OneClassTask):
        raise ValueError(
            f"evaluation={type(evaluation).__name__} averages predictions of one class per pixel, "
            f"but task_loss is {task.title()}: leave evaluation out"
        )


def check_labels(trainer: Trainer, task: Task, target: Any, logits: Tensor) -> None:
    """Raise unless the labels of the first batch, and the data's class names, fit the outputs.

    It costs a synchronisation.

    Shape:
        - target, logits: as the task has them
    """
    if task.has_classes and logits.ndim > 1:
        check_class_names(trainer, logits.shape[1])
    check_target(task, target, logits)
