"""Test metrics of the auxiliary classifiers that a criterion trains beside the student's."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torchmetrics import Metric

from fdkd_lightning.training.distillation import DistillationModule
from fdkd_lightning.training.probe import output_target
from fdkd_lightning.types import Batch


class HeadMetrics(Callback):
    """Compute one of the module's test metrics for every classifier that the criterion trains."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.metrics: dict[str, Metric] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Discard the metrics of the previous test run."""
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
        """Update the metric of each head with one batch."""
        if not isinstance(pl_module, DistillationModule) or not isinstance(outputs, Mapping):
            return
        output = outputs["output"]
        label = output_target(batch, output)
        if not len(label):
            return
        for name, logits in pl_module.heads(output).items():
            if name not in self.metrics:
                test_metrics = pl_module.test_metrics
                assert test_metrics is not None  # created in the module's setup
                self.metrics[name] = test_metrics[self.metric].clone().to(pl_module.device)
                self.metrics[name].reset()
            self.metrics[name].update(*pl_module.task.metric_inputs(logits, label))

    def values(self) -> dict[str, float]:
        """Return head -> value over the batches since the test started."""
        return {name: float(metric.compute()) for name, metric in self.metrics.items()}
