"""Seconds of a training step: by hand, with the module, with the callback."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn

from fdkd_lightning.benchmark.cases.networks import STUDENT, TEACHER
from fdkd_lightning.benchmark.measure import synchronize
from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.training.published_optimizer import published_sgd
from fdkd_lightning.types import Batch, Output

QUIET: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "limit_val_batches": 0,
    "devices": 1,
    "max_epochs": -1,
}


class OwnModule(LightningModule):
    """A module as a user writes it, which knows nothing of distillation.

    Args:
        network: The student.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        output: Output = self.network(x)
        return output.logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the cross-entropy."""
        return nn.functional.cross_entropy(self(batch[STUDENT]), batch["label"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the published optimizer."""
        return published_sgd(self.parameters())


class HandLoop:
    """A training loop without Lightning.

    Args:
        loader: Batches.
        student: The student.
        teacher: The teacher; None: none runs.
        criterion: The criterion; None: the task loss alone.
    """

    def __init__(
        self,
        loader: Iterable[Batch],
        student: nn.Module,
        teacher: nn.Module | None = None,
        criterion: DistillationLoss | None = None,
    ) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.loader = loader
        self.student = student.to(self.device).train()
        self.teacher = None if teacher is None else teacher.to(self.device).eval()
        self.criterion = None if criterion is None else criterion.to(self.device).train()
        parameters = [*student.parameters(), *(criterion.parameters() if criterion else ())]
        self.optimizer = published_sgd(parameters)

    def __call__(self, steps: int) -> float:
        """Return the mean seconds of steps, of which the first is not counted."""
        times: list[float] = []
        while len(times) <= steps:
            for batch in self.loader:
                self._step(batch)
                synchronize()
                times.append(time.perf_counter())
                if len(times) > steps:
                    break
        return (times[-1] - times[0]) / steps

    def _step(self, batch: Batch) -> None:
        target = batch["label"].to(self.device)
        student: Output = self.student(batch[STUDENT].to(self.device))
        loss = nn.functional.cross_entropy(student.logits, target)
        if self.teacher is not None:
            with torch.no_grad():
                teacher = self.teacher(batch[TEACHER].to(self.device))
            if self.criterion is not None:
                for term in self.criterion(student, teacher, target).values():
                    loss = loss + term
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()


class _EndsOfSteps(Callback):
    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        synchronize()
        self.times.append(time.perf_counter())


def fit_seconds(
    module: LightningModule,
    data: LightningDataModule,
    steps: int,
    callbacks: Sequence[Callback] = (),
) -> float:
    """Return the mean seconds of steps of a fit, of which the first is not counted."""
    ends = _EndsOfSteps()
    trainer = Trainer(max_steps=steps + 1, callbacks=[*callbacks, ends], **QUIET)
    trainer.fit(module, datamodule=data)
    return (ends.times[-1] - ends.times[0]) / steps
