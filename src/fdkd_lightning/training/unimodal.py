"""Training of one network on one modality: teachers, and the student without distillation."""

from typing import Any

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from fdkd_lightning.losses.tasks.of_loss import task_of
from fdkd_lightning.models.dense_evaluation import DenseEvaluation
from fdkd_lightning.ops.mean_loss import MeanLoss
from fdkd_lightning.training.averaging import renew_copies
from fdkd_lightning.training.default_metrics import default_metrics
from fdkd_lightning.training.lr_scheduler import scheduler_config
from fdkd_lightning.training.missing_modality import (
    MIN_SAMPLES,
    present_mask,
    samples_with,
    select,
    zero_gradient_term,
)
from fdkd_lightning.training.probe import (
    as_output,
    batch_target,
    check_output,
    example_batch,
    modality_input,
    output_target,
    probe,
)
from fdkd_lightning.training.published_optimizer import published_sgd
from fdkd_lightning.training.run.prediction_columns import predicted_by
from fdkd_lightning.training.run.predictions import sample_facts
from fdkd_lightning.training.run_module import RunModule
from fdkd_lightning.training.run_network import run_network
from fdkd_lightning.training.task_checks import check_evaluation, check_labels
from fdkd_lightning.types import Batch, Output


class UnimodalModule(RunModule):
    """Train one network on one modality with the task loss of the labelled samples.

    Use it for teachers, and for the student without distillation.
    :class:`~fdkd_lightning.DistillationModule` inherits its metrics, optimizer, evaluation and
    exact resumption.

    Samples that lack the modality (``batch["present"]``) are left out of loss, metrics and
    predictions. In training they are not passed to the network; nor is the single remaining sample
    of a rank, since batch norm cannot learn from one. A rank without remaining samples skips the
    network; SyncBatchNorm would wait for it, so do not combine it with ``optional_modalities``.
    Logs ``train/loss`` and, for ``val`` and ``test``, ``loss`` and each metric.

    Args:
        model: A network that returns :class:`~fdkd_lightning.Output`.
        modality: Key of the network's input in the batch.
        metrics: Name -> torchmetrics metric of (logits, target), with ``ignore_index: -100`` where
            evaluation data has unlabelled samples (independent labels: of probabilities); None:
            those of ``default_metrics``.
        optimizer: Makes the optimizer from the trainable parameters; default: the published SGD.
        lr_scheduler: Makes a scheduler from the optimizer, stepped once an epoch (``CyclicLR``, and
            ``OneCycleLR`` with the number of steps: after each batch); None: constant.
        evaluation: Windows, scales and mirror images in which images are evaluated; None: whole.
        task_loss: Loss of the labels, and what they mean: ``CrossEntropyLoss`` (one class per
            sample), ``BCEWithLogitsLoss`` (independent labels), ``MSELoss``, ``HuberLoss``,
            ``SmoothL1Loss`` or ``L1Loss`` (numbers), or a :class:`~fdkd_lightning.Task`, which has
            weights and wraps any other loss. None: cross-entropy.

    Shape:
        - batch[modality]: [N, ...]
        - batch["label"]: [N] int64, or [N, H, W] for segmentation; -100 where there is no label;
          for other tasks as the network's outputs, NaN where there is no label
        - batch["present"]: modality -> [N] bool, whether each sample has the modality, for the
          modalities that samples may lack; in all batches or in none

    Raises:
        KeyError: If the batch lacks the modality.
        TypeError: If the model returns no ``Output``, or the labels of ``task_loss`` are not known;
            on the first batch, if labels have another dtype.
        FloatingPointError: Within an epoch, if outputs, loss or weights become NaN or infinite.
        ValueError: On the first batch, if a label does not fit the model, the data name more
            classes than the model has, or the outputs are not finite; if a ``PolyLR`` has no
            ``max_epochs`` and the trainer has none.

    Example:
        >>> import torch
        >>> from fdkd_lightning.models.resnet import ResNet
        >>> module = UnimodalModule(ResNet(10, in_chans=1), modality="visual")
        >>> module(torch.randn(2, 1, 64, 64)).logits.shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        model: nn.Module,
        modality: str,
        metrics: dict[str, Metric] | None = None,
        optimizer: OptimizerCallable = published_sgd,
        lr_scheduler: LRSchedulerCallable | None = None,
        evaluation: DenseEvaluation | None = None,
        task_loss: nn.Module | None = None,
    ) -> None:
        super().__init__(model)
        self.task = task_of(task_loss)
        check_evaluation(self.task, evaluation)
        self.modality = modality
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.evaluation = evaluation
        self.val_metrics: MetricCollection | None = None
        self.test_metrics: MetricCollection | None = None
        if metrics is not None:
            self._set_metrics(metrics)
        self.val_loss = MeanLoss()
        self.test_loss = MeanLoss()
        self._checked: set[str] = set()

    def forward(self, x: Any) -> Output:
        """Return the network's output for an input of its modality, [N, ...]."""
        self.read_weights()
        return as_output(run_network(self.model, x))

    def setup(self, stage: str) -> None:
        """Create the default metrics."""
        super().setup(stage)
        self._checked.clear()
        if self.val_metrics is None and stage != "predict":
            x = modality_input(example_batch(self.trainer), self.modality)
            logits = probe(self.model, x).logits
            outputs = logits.shape[1] if logits.ndim > 1 else 1
            self._set_metrics(default_metrics(self.task, outputs, per_pixel=logits.ndim > 2))
        if stage == "fit":
            self._size_parts()
            renew_copies(self.trainer, self)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the task loss of the batch."""
        present = samples_with(batch, self.modality)
        output = self._learn(present, batch)
        if output is not None:
            self._check_first_batch(present, output)
            self.watch.note_output(f"{self.modality} model", output)
        loss = self._task_loss(output, present)
        self.watch.note("the loss", loss)
        self.watch.end_step()
        self._log_terms({"loss": loss}, batch)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Output]:
        """Update loss and metrics; return the ``output`` for callbacks, as :meth:`test_step`."""
        return {"output": self._evaluate("val", self.val_loss, self.val_metrics, batch)}

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Output]:
        """Update loss and metrics; return the ``output`` for callbacks.

        If samples lack the modality, its ``label`` has the labels of the remaining samples.
        """
        return {"output": self._evaluate("test", self.test_loss, self.test_metrics, batch)}

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Return the samples' ``index`` [N], ``label`` if known, and ``probabilities`` [N, K].

        Numbers are ``values`` [N, K] instead. Without an ``index`` in the batch, ``position`` [N]
        holds the positions within the batch. For maps both are means over the pixels, and for
        segmentation ``classes`` [N, H, W] holds the most probable class of each pixel.
        """
        logits = self._infer(batch).logits.float()
        facts = sample_facts(batch, self.modality, len(logits))
        return facts | predicted_by(self.task, logits)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Create optimizer and scheduler for the trainable parameters."""
        optimizer = self.optimizer(p for p in self.parameters() if p.requires_grad)
        if self.lr_scheduler is None:
            return optimizer
        scheduler = scheduler_config(self.lr_scheduler(optimizer), self.trainer)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}  # type: ignore[return-value]  # a dict

    def _size_parts(self) -> None:
        """Size the parts that are trained beside the network, before fit."""

    def _run(self, batch: Batch) -> Output:
        output: Output = self(modality_input(batch, self.modality))
        return output._replace(index=batch.get("index"))

    def _learn(self, present: Batch, batch: Batch) -> Output | None:
        """Return the output for the samples that have the modality; None if they are too few."""
        too_few = present is not batch and len(batch_target(present)) < MIN_SAMPLES
        return None if too_few else self._run(present)

    def _infer(self, batch: Batch) -> Output:
        """Return the output for the samples that have the modality."""
        # In eval mode no sample changes another's output, so blanks may be passed along.
        if self.evaluation is None:
            output = self._run(batch)
        else:
            x = modality_input(batch, self.modality)
            output = self.evaluation(self, x)._replace(index=batch.get("index"))
        present = present_mask(batch, self.modality)
        if present is None:
            return output
        kept: Output = select(output._replace(label=batch.get("label")), present)
        return kept

    def _task_loss(self, output: Output | None, batch: Batch) -> Tensor:
        target = batch_target(batch)
        if output is None:
            return self.task.nothing(target.device) + zero_gradient_term(self)
        loss: Tensor = self.task(output.logits, target)
        return loss

    def _evaluate(
        self, stage: str, loss: MeanLoss, metrics: MetricCollection | None, batch: Batch
    ) -> Output:
        output = self._infer(batch)
        target = output_target(batch, output)
        if len(target):
            if self._is_first(stage):
                check_labels(self.trainer, self.task, target, output.logits)
            loss.update(*self.task.sums(output.logits, target))
        size = batch["label"].shape[0]
        # Logged without labels too: all ranks compute the metrics together.
        self.log(f"{stage}/loss", loss, batch_size=size)
        if metrics is not None:
            known, labels = self.task.metric_inputs(output.logits, target)
            if len(labels):
                metrics.update(known, labels)
            self.log_dict(metrics, batch_size=size, prog_bar=stage == "val")
        return output

    def _check_first_batch(self, batch: Batch, output: Output) -> None:
        """Check the network's first output, which need not be in the first batch."""
        if self._is_first("train"):
            check_output(self.modality, output)
            check_labels(self.trainer, self.task, batch_target(batch), output.logits)

    def _is_first(self, stage: str) -> bool:
        """Return whether to check values now: once a run, since each check costs a sync."""
        first = stage not in self._checked
        self._checked.add(stage)
        return first

    def _set_metrics(self, metrics: dict[str, Metric]) -> None:
        collection = MetricCollection(dict(metrics))
        self.val_metrics = collection.clone(prefix="val/")
        self.test_metrics = collection.clone(prefix="test/")
