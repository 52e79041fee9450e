"""Metrics of a teacher on validation data, where there is not one class per sample."""

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torchmetrics import MetricCollection

from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.ops.distributed import gather_objects
from fdkd_lightning.training.default_metrics import default_metrics


class TeacherScores:
    """The task's default metrics of one teacher.

    A teacher whose outputs do not fit the labels, such as one of another task whose features alone
    teach, is reported as not measured.

    Args:
        task: What the labels mean.
        device: The teacher's device.

    Shape:
        - outputs, target: as the task has them

    Example:
        >>> from fdkd_lightning.losses.tasks.regression import RegressionTask
        >>> scores = TeacherScores(RegressionTask(), torch.device("cpu"))
        >>> scores.update(torch.zeros(2, 1), torch.tensor([1.0, 3.0]))
        >>> scores.metrics["mae"].compute()
        tensor(2.)
    """

    def __init__(self, task: Task, device: torch.device) -> None:
        self.task = task
        self.device = device
        self.metrics: MetricCollection | None = None
        self.misfit = ""
        self.first = ""  # a collection sorts its metrics

    def update(self, outputs: Tensor, target: Tensor) -> None:
        """Add a batch."""
        if self.misfit:
            return
        try:
            predicted, labels = self.task.metric_inputs(outputs, target)
        except (TypeError, ValueError) as error:
            self.misfit = str(error)
            return
        if self.metrics is None:
            count = outputs.shape[1] if outputs.ndim > 1 else 1
            made = default_metrics(self.task, count, per_pixel=outputs.ndim > 2)
            self.first = next(iter(made), "")
            self.metrics = MetricCollection(dict(made)).to(self.device)
        if len(labels):
            self.metrics.update(predicted, labels)

    def report(self, trainer: Trainer, modality: str) -> float | None:
        """Log the metrics of all ranks; return the first, None if it is not measured."""
        if self.misfit:
            rank_zero_info(f"the {modality} teacher is not measured: {self.misfit}")
        # Ranks compute together, and one may hold no sample of the modality.
        is_measured = self.metrics is not None and len(self.metrics) > 0 and not self.misfit
        if not all(gather_objects(is_measured)) or self.metrics is None:
            return None
        values = {name: float(value) for name, value in self.metrics.compute().items()}
        shown = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
        rank_zero_info(f"{modality} teacher: {shown} on validation samples")
        for logger in trainer.loggers:
            logged = {f"teacher/{modality}/{name}": value for name, value in values.items()}
            logger.log_metrics(logged, step=0)
        return values[self.first]
