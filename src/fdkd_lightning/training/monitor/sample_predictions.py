"""Predictions of a few samples, in every logger after each validation."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.ops.distributed import gather_objects
from fdkd_lightning.ops.segmentation_image import class_palette, panels, visible
from fdkd_lightning.training.missing_modality import samples_with
from fdkd_lightning.training.monitor.logged_samples import Sample, Samples, log_samples
from fdkd_lightning.training.probe import output_target
from fdkd_lightning.training.run.prediction_columns import columns_of
from fdkd_lightning.training.run.predictions import output_names
from fdkd_lightning.types import IGNORE_INDEX, Batch, Output


class SamplePredictions(Callback):
    """Log the predictions of a few samples to every logger after each validation.

    They are the first of the validation set, so that the same samples can be followed through
    training. A row has the sample's index, label, predicted class and its probability; numbers and
    independent labels are as in ``predictions.csv``; texts stand beside. Images, spectrograms and
    the first frame of a video are shown, and for segmentation input, labels, prediction and errors.

    A CSV log gets ``samples.csv`` and ``samples/<index>.png`` beside its metrics, TensorBoard a
    text and images, W&B a table with images. Other loggers get none.

    Args:
        count: Number of samples.

    Raises:
        ValueError: If ``count`` is no positive number.

    Example:
        >>> trainer = Trainer(callbacks=[SamplePredictions(count=4)], logger=False)
    """

    def __init__(self, count: int = 8) -> None:
        check_count("count", count)
        self.count = count
        self._found: dict[int, Sample] = {}
        self._header: list[str] = []
        self._seen = 0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew, also after a validation that was interrupted."""
        self._found, self._seen = {}, 0

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first samples."""
        room = self.count - len(self._found)
        if room <= 0 or trainer.sanity_checking or dataloader_idx:
            return
        output: Output = outputs["output"]
        target = output_target(batch, output)
        inputs = samples_with(batch, pl_module.modality)[pl_module.modality]
        numbers = [*range(self._seen, self._seen + len(target))]
        self._seen += len(target)
        indices = numbers if output.index is None else output.index.tolist()
        known = indices[:room], target[:room].cpu(), output.logits[:room].float().cpu()
        task = pl_module.task
        names = output_names(trainer, output.logits.shape[1] if output.logits.ndim > 1 else 1, task)
        self._header, cells = _cells(task, names, *known[1:])
        for i, row in enumerate(cells):
            text = [inputs[i]] if isinstance(inputs, list) and isinstance(inputs[i], str) else []
            image = _image(inputs, i, known[1][i], known[2][i])
            self._found[int(known[0][i])] = Sample([*row, *text], image)
        if isinstance(inputs, list) and inputs and isinstance(inputs[0], str):
            self._header = [*self._header, pl_module.modality]

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log them, unless the validation was a sanity check."""
        if trainer.sanity_checking:
            return
        parts = gather_objects((self._header, self._found))
        found = {index: sample for _, part in parts for index, sample in part.items()}
        self._found = {}
        if not trainer.is_global_zero or not found:
            return
        header = next(names for names, part in parts if part)
        first = {index: found[index] for index in sorted(found)[: self.count]}
        samples = Samples(header, first, trainer.global_step)
        for logger in trainer.loggers:
            log_samples(logger, samples)


def _cells(
    task: Task, names: list[str], target: Tensor, logits: Tensor
) -> tuple[list[str], list[list[str]]]:
    """Return the columns' names, and their cells for each sample."""
    predicted = task.predict(logits)
    if not isinstance(task, OneClassTask):
        columns = columns_of(task, names)
        means = predicted.flatten(2).mean(2) if predicted.ndim > 2 else predicted
        is_flat = target.ndim <= 2
        rows = [
            columns.cells(values, label, is_flat)
            for values, label in zip(means.tolist(), target.tolist(), strict=True)
        ]
        return columns.header(is_flat), rows
    best, classes = predicted.max(1)
    if logits.ndim > 2:
        known = target != IGNORE_INDEX
        right = ((classes == target) & known).flatten(1).sum(1) / known.flatten(1).sum(1)
        return ["pixel_accuracy"], [[f"{share:.4f}"] for share in right.tolist()]
    labels = ["" if y == IGNORE_INDEX else names[y] for y in target.tolist()]
    found = zip(labels, classes.tolist(), best.tolist(), strict=True)
    return ["label", "class", "probability"], [[y, names[c], f"{p:.4f}"] for y, c, p in found]


def _image(inputs: Any, i: int, target: Tensor, logits: Tensor) -> Tensor | None:
    """Return an input as an image; None: it is none."""
    if not isinstance(inputs, Tensor) or not 4 <= inputs.ndim <= 5:
        return None
    x = inputs[i] if inputs.ndim == 4 else inputs[i, 0]
    if logits.ndim == 3 and target.ndim == 2:
        return panels(x, target, logits.argmax(0), class_palette(len(logits)))
    return visible(x, x.shape[1:])
