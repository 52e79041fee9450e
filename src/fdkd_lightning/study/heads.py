"""How good the classifiers are that a criterion trains beside the student's own."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torchmetrics import Metric

from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.types import Batch


class HeadMetrics(Callback):
    """One of the module's test metrics, for every classifier that the criterion trains.

    Args:
        metric: Its name.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.metrics: dict[str, Metric] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self.metrics = {}

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Tensor | Mapping[str, Any] | None,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a batch."""
        if not isinstance(pl_module, DistillationModule) or not isinstance(outputs, Mapping):
            return
        output = outputs["output"]
        # The output's own where samples that lack the student's modality are left out.
        label = batch["label"] if output.label is None else output.label
        if not len(label):
            return
        for name, logits in pl_module.heads(output).items():
            if name not in self.metrics:
                own = pl_module.test_metrics
                assert own is not None  # the module's setup made them
                self.metrics[name] = own[self.metric].clone().to(pl_module.device)
                self.metrics[name].reset()
            self.metrics[name].update(logits, label)

    def values(self) -> dict[str, float]:
        """Head -> value on the data that was seen."""
        return {name: float(metric.compute()) for name, metric in self.metrics.items()}
