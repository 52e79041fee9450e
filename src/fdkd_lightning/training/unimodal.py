"""Training one network on one modality: the teachers, and the student "w/o KD"."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from fdkd_lightning.models.pretrained import load_pretrained
from fdkd_lightning.ops.cross_entropy import MeanCrossEntropy, cross_entropy
from fdkd_lightning.training.lr_scheduler import PolyLR
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
    check_target,
    example_batch,
    modality_input,
    probe,
)
from fdkd_lightning.training.rng import restore_rng_states, rng_states
from fdkd_lightning.types import IGNORE_INDEX, Batch, Output


def published_sgd(params: Iterable[nn.Parameter]) -> Optimizer:
    """SGD as in the published code: learning rate 0.01, momentum 0.9, no weight decay."""
    return torch.optim.SGD(params, lr=0.01, momentum=0.9)


class UnimodalModule(LightningModule):
    """One network, one modality, cross-entropy on the labelled samples.

    It trains the teachers and the student without knowledge distillation, and everything that
    does not concern a teacher is here: metrics, optimizer, evaluation, exact resumption.
    :class:`~fdkd_lightning.DistillationModule` adds the teachers and nothing else.

    Samples that lack the modality (``batch["present"]``) take no part: none in loss and metrics,
    and predictions leave them out. In training the network does not see them, nor a single sample
    that is left of several in a process, from which batch norm could not learn. A process of which
    nothing is left skips the network, which SyncBatchNorm in the others would wait for: with it
    leave the modality out of the data's ``optional_modalities``.

    Logs ``train/loss`` and, for ``val`` and ``test``, ``loss`` and each metric.

    Args:
        model: A network that returns :class:`~fdkd_lightning.Output`.
        modality: The key of its input in the batch.
        metrics: Name -> torchmetrics metric of (logits, target); None: accuracy and macro-F1.
            Give them ``ignore_index: -100`` where evaluation data lacks labels.
        optimizer: Makes the optimizer from the trainable parameters; the default is the published
            code's SGD.
        lr_scheduler: Makes a scheduler, stepped once an epoch; None: a constant rate.

    Shape:
        - batch[modality]: [N, ...]
        - batch["label"]: [N] int64, or [N, H, W] where each pixel has a class; -100 where there is
          no label
        - batch["present"]: modality -> [N] bool, whether the sample has it, for those that samples
          may lack; in all batches or in none

    Raises:
        KeyError: If the batch lacks the modality.
        ValueError: On the first batch, if a label is not a class of the model or the outputs are
            not finite.

    Example:
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
    ) -> None:
        super().__init__()
        self.model = model
        self.modality = modality
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.val_metrics: MetricCollection | None = None
        self.test_metrics: MetricCollection | None = None
        if metrics is not None:
            self._set_metrics(metrics)
        self.val_loss = MeanCrossEntropy()
        self.test_loss = MeanCrossEntropy()
        self._checked: set[str] = set()
        self._rng_states: list[dict[str, Any]] | None = None

    def forward(self, x: Any) -> Output:
        """The network's output for inputs of its modality."""
        return as_output(self.model(x))

    def setup(self, stage: str) -> None:
        """Read pretrained weights when fit begins; size the default metrics."""
        self._checked.clear()
        # Evaluating a checkpoint must not seed a later fit; one is loaded after this hook.
        self._rng_states = None
        if stage == "fit":
            load_pretrained(self.model)
        if self.val_metrics is None and stage != "predict":
            x = modality_input(example_batch(self.trainer), self.modality)
            classes = probe(self.model, x).logits.shape[1]
            self._set_metrics(
                {
                    "accuracy": MulticlassAccuracy(
                        classes, average="micro", ignore_index=IGNORE_INDEX
                    ),
                    "macro_f1": MulticlassF1Score(
                        classes, average="macro", ignore_index=IGNORE_INDEX
                    ),
                }
            )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of the batch."""
        own = samples_with(batch, self.modality)
        output = self._learn(own, batch)
        self._check_first_batch(own, output, {})
        loss = self._cross_entropy(output, own)
        self._log_terms({"loss": loss}, batch)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and metrics of the network alone."""
        self._evaluate("val", self.val_loss, self.val_metrics, batch)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Output]:
        """Loss and metrics of the network alone; its ``output`` is for callbacks.

        Where samples lack the modality, it has the ``label`` of the others.
        """
        return {"output": self._evaluate("test", self.test_loss, self.test_metrics, batch)}

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The samples' ids [N] and class probabilities [N, K] of the network alone.

        Where each pixel has a class, the probabilities are means over the pixels, and ``classes``
        [N, H, W] has each one's most probable class.
        """
        logits = self._infer(batch).logits.float()
        has = present_mask(batch, self.modality)
        index = batch["index"] if has is None else batch["index"][has]
        predicted = {"index": index, "probabilities": logits.softmax(1)}
        if logits.ndim > 2:
            predicted["probabilities"] = predicted["probabilities"].flatten(2).mean(2)
            predicted["classes"] = logits.argmax(1)
        return predicted

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The injected optimizer over the trainable parameters, and its scheduler."""
        optimizer = self.optimizer(p for p in self.parameters() if p.requires_grad)
        if self.lr_scheduler is None:
            return optimizer
        scheduler = self.lr_scheduler(optimizer)
        if isinstance(scheduler, PolyLR) and scheduler.max_epochs is None:
            epochs = self.trainer.max_epochs
            if epochs is None or epochs < 1:
                raise ValueError(
                    f"PolyLR decays over max_epochs, and the trainer's is {epochs}: set "
                    "trainer.max_epochs, or the scheduler's own"
                )
            scheduler.max_epochs = epochs
        # Lightning's ReduceLROnPlateau says itself what it monitors; no other scheduler needs it.
        monitor = getattr(scheduler, "monitor", None)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "epoch", "monitor": monitor},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random generators, so that a resumed run draws what this one would."""
        checkpoint["rng_states"] = rng_states()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the random generators until training goes on."""
        self._rng_states = checkpoint.get("rng_states")

    def on_train_start(self) -> None:
        """Take up the random generators where the checkpoint left them."""
        if self._rng_states is not None:
            if not restore_rng_states(self._rng_states, self.global_rank):
                rank_zero_warn(
                    f"the checkpoint was written by {len(self._rng_states)} processes, and there "
                    f"are {self.trainer.world_size}: the resumed run draws other random numbers"
                )
            self._rng_states = None

    def _run(self, batch: Batch) -> Output:
        output: Output = self(modality_input(batch, self.modality))
        return output._replace(index=batch.get("index"))

    def _learn(self, own: Batch, batch: Batch) -> Output | None:
        """The output for the samples of a batch that have the modality; None: too few are left."""
        left = own is not batch and len(batch_target(own)) < MIN_SAMPLES
        return None if left else self._run(own)

    def _infer(self, batch: Batch) -> Output:
        """The output, without the samples that lack the modality."""
        # In evaluation no sample has a part in another's output, so that they may come along.
        output = self._run(batch)
        has = present_mask(batch, self.modality)
        if has is None:
            return output
        kept: Output = select(output._replace(label=batch.get("label")), has)
        return kept

    def _cross_entropy(self, output: Output | None, batch: Batch) -> Tensor:
        target = batch_target(batch)
        if output is None:
            # Other processes may have samples, and wait for this one's number of labels.
            nothing = torch.zeros(0, 1, device=target.device)
            return cross_entropy(nothing, target[:0].flatten()) + zero_gradient_term(self)
        return cross_entropy(output.logits, target)

    def _evaluate(
        self, stage: str, loss: MeanCrossEntropy, metrics: MetricCollection | None, batch: Batch
    ) -> Output:
        output = self._infer(batch)
        target = batch_target(batch) if output.label is None else output.label
        if len(target) and self._is_first(stage):
            check_target(target, output.logits)
        size = batch["label"].shape[0]
        if len(target):
            loss.update(output.logits, target)
        # Logged in any case: all processes compute them together in the end.
        self.log(f"{stage}/loss", loss, batch_size=size)
        if metrics is not None:
            if len(target):
                metrics.update(output.logits, target)
            self.log_dict(metrics, batch_size=size, prog_bar=stage == "val")
        return output

    def _log_terms(self, terms: dict[str, Tensor], batch: Batch) -> None:
        self.log_dict(
            {f"train/{name}": term.detach() for name, term in terms.items()},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=batch["label"].shape[0],
        )

    def _check_first_batch(
        self, batch: Batch, own: Output | None, others: dict[str, Output]
    ) -> None:
        """Look at the first that each network gives; it may not be in the first batch."""
        if own is None:
            return
        for role, output in {self.modality: own, **others}.items():
            if self._is_first(f"train {role}"):
                check_output(role, output)
        if self._is_first("train"):
            check_target(batch_target(batch), own.logits)

    def _is_first(self, stage: str) -> bool:
        """Values are looked at once a run: in the hot path it would cost a sync per step."""
        first = stage not in self._checked
        self._checked.add(stage)
        return first

    def _set_metrics(self, metrics: dict[str, Metric]) -> None:
        collection = MetricCollection(dict(metrics))
        self.val_metrics = collection.clone(prefix="val/")
        self.test_metrics = collection.clone(prefix="test/")
