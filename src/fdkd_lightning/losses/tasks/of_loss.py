"""The task that a loss belongs to."""

from typing import Any

from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.multi_label import MultiLabelTask
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.losses.tasks.regression import RegressionTask

TASKS: tuple[type[Task], ...] = (OneClassTask, MultiLabelTask, RegressionTask)


def task_of(task_loss: Any) -> Task:
    """Return the task of a loss: what the labels mean that it takes.

    Args:
        task_loss: A loss of torch or a subclass of one, or a :class:`Task` that wraps any other;
            None: cross-entropy.

    Raises:
        TypeError: If the loss is of a class that does not show what labels it takes.

    Example:
        >>> from torch import nn
        >>> task_of(nn.HuberLoss()).labels, task_of(None).labels
        ('numbers', 'one class per sample')
    """
    if task_loss is None:
        return OneClassTask()
    if isinstance(task_loss, Task):
        return task_loss
    for task in TASKS:
        if isinstance(task_loss, task.losses):
            return task(task_loss)
    known = ", ".join(loss.__name__ for task in TASKS for loss in task.losses)
    wrappers = ", ".join(task.__name__ for task in TASKS)
    raise TypeError(
        f"task_loss={task_loss!r:.60} is of type {type(task_loss).__name__}, whose labels are not "
        f"known: give one of {known}, or wrap it in one of {wrappers}"
    )
