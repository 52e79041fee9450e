"""The confusion matrix of an evaluation on Weights & Biases."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.distributed import gather_rows
from fdkd_lightning.training.probe import output_target
from fdkd_lightning.training.run.predictions import output_names
from fdkd_lightning.types import IGNORE_INDEX, Batch, Output

MOST_CLASSES = 100
"""With more classes the matrix would be too large to see."""


class WandbConfusion(Callback):
    """Log the confusion matrix of each test to W&B, as ``test/confusion``.

    It needs this package's modules, one class per sample, and at most 100 classes; without a
    ``WandbLogger`` it does nothing. ``fdkd fit``, ``test`` and studies always have it. Under DDP a
    sample that the sampler repeats counts twice.

    Example:
        >>> trainer = Trainer(callbacks=[WandbConfusion()], logger=False)
    """

    def __init__(self) -> None:
        self._pairs: list[Tensor] = []
        self._classes = 0

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self._pairs = []

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep labels and predictions."""
        if not _is_logged(trainer, pl_module):
            return
        output: Output = outputs["output"]
        if output.logits.ndim == 2:
            self._classes = output.logits.shape[1]
            target = output_target(batch, output)
            self._pairs.append(torch.stack([target, output.logits.argmax(1)], 1))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Log the matrix."""
        if not _is_logged(trainer, pl_module):
            return
        empty = torch.zeros(0, 2, dtype=torch.int64, device=pl_module.device)
        pairs = gather_rows(torch.cat([empty, *self._pairs]))
        pairs = pairs[pairs[:, 0] != IGNORE_INDEX]
        self._pairs = []
        if not trainer.is_global_zero or not len(pairs) or self._classes > MOST_CLASSES:
            return
        # It takes a second to import.
        import wandb

        labels, predicted = pairs.T.tolist()
        names = output_names(trainer, self._classes, pl_module.task)
        chart = wandb.plot.confusion_matrix(y_true=labels, preds=predicted, class_names=names)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.log({"test/confusion": chart})


def _is_logged(trainer: Trainer, module: Any) -> bool:
    has_wandb = any(isinstance(logger, WandbLogger) for logger in trainer.loggers)
    return has_wandb and isinstance(getattr(module, "task", None), OneClassTask)
