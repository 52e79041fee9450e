"""Predictions written as a CSV table, and as images where each pixel has a class."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from PIL import Image
from torch import Tensor

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.losses.tasks.base import Task
from fdkd_lightning.losses.tasks.one_class import OneClassTask
from fdkd_lightning.ops.distributed import gather_objects
from fdkd_lightning.ops.segmentation_image import class_palette, overlay, visible
from fdkd_lightning.training.missing_modality import present_mask, samples_with
from fdkd_lightning.training.probe import class_names_of
from fdkd_lightning.training.run.prediction_columns import columns_of
from fdkd_lightning.types import Batch


class PredictionTable(BasePredictionWriter):
    """Write the predictions of ``predict`` as a CSV table: index, class, probability per class.

    For independent labels the column ``classes`` has those from 0.5 on, separated by semicolons;
    for numbers there is one column per output. Labels then have a column per output, too.

    A column ``id`` has the samples' ids if the data set has an attribute ``ids``, and ``label`` the
    true classes where they are known. The rows are sorted by index; those of all ranks are
    gathered, each sample once. Without an ``index`` in the batch, samples are numbered as the
    loader gives them, which needs one rank.

    For segmentation, each sample's class numbers are also written as the pixel values of an image,
    ``predictions/<index>.png`` beside the table: 8 bits, shown in the colours of PASCAL VOC, or 16
    bits with more than 256 classes. ``predictions/<index>_overlay.png`` shows these colours over
    the network's input. The probabilities in the table are then means over the pixels. These class
    maps are not kept in memory, nor returned by ``trainer.predict``.

    Args:
        path: Path of the table; None: ``predictions.csv`` in the trainer's ``default_root_dir``.

    Example:
        >>> trainer = Trainer(callbacks=[PredictionTable("predictions.csv")], logger=False)
    """

    def __init__(self, path: str | Path | None = None) -> None:
        super().__init__(write_interval="batch_and_epoch")
        self.path = path
        self._seen = 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Number samples from 0 again, also after a run that was interrupted."""
        self._seen = 0

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the batch's class maps as images, and drop them from the predictions."""
        if "index" not in prediction:
            self._number(trainer, prediction)
        if "classes" not in prediction:
            return
        folder = self._table(trainer).parent / "predictions"
        folder.mkdir(parents=True, exist_ok=True)
        modality = cast("str", pl_module.modality)
        images = samples_with(batch, modality)[modality]
        palette = class_palette(prediction["probabilities"].shape[1])
        rows = zip(prediction["index"], prediction.pop("classes"), images, strict=True)
        for index, numbers, image in rows:
            numbers = numbers.cpu()
            wide = len(palette) > 256
            classes = Image.fromarray(numbers.numpy().astype(np.uint16 if wide else np.uint8))
            if not wide:
                classes.putpalette(palette.flatten().tolist())
            shown = overlay(visible(image, numbers.shape), numbers, palette)
            colored = Image.fromarray(shown.permute(1, 2, 0).numpy())
            for name, picture in ((f"{int(index)}", classes), (f"{int(index)}_overlay", colored)):
                with atomic_write(folder / f"{name}.png", is_one_of_many=True) as file:
                    picture.save(file, "PNG")

    def write_on_epoch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        """Gather the predictions of all ranks and write the table on rank 0."""
        task = getattr(pl_module, "task", None)
        task = task if isinstance(task, Task) else OneClassTask()
        rows: dict[int, tuple[list[float], Any]] = {}
        for batch in predictions:
            indices = batch["index"].tolist()
            labels = batch["label"].tolist() if "label" in batch else [None] * len(indices)
            found = batch["probabilities" if task.has_classes else "values"].tolist()
            rows |= dict(zip(indices, zip(found, labels, strict=True), strict=True))
        rows = {index: row for part in gather_objects(rows) for index, row in part.items()}
        if not trainer.is_global_zero or not rows:
            return
        path = self._table(trainer)
        path.parent.mkdir(parents=True, exist_ok=True)
        outputs = len(next(iter(rows.values()))[0])
        columns = columns_of(task, output_names(trainer, outputs, task))
        ids = _ids(trainer)
        labelled = any(columns.knows(label) for _, label in rows.values())
        with atomic_write(path, "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["index", *(["id"] if ids else []), *columns.header(labelled)])
            for index in sorted(rows):
                known = [ids.get(index, "")] if ids else []
                table.writerow([index, *known, *columns.cells(*rows[index], labelled)])
        rank_zero_info(f"{len(rows)} predictions written to {path}")

    def _number(self, trainer: Trainer, prediction: Any) -> None:
        """Number the samples of a batch without ids, in the order of the loader."""
        if trainer.world_size > 1:
            raise ValueError(
                f"the batch has no 'index', by which the predictions of {trainer.world_size} ranks "
                "are put in order: add it to the data, or predict on one device"
            )
        size = int(prediction.pop("size"))
        prediction["index"] = prediction.pop("position") + self._seen
        self._seen += size

    def _table(self, trainer: Trainer) -> Path:
        return Path(self.path or Path(trainer.default_root_dir) / "predictions.csv")


def output_names(trainer: Trainer, outputs: int, task: Task) -> list[str]:
    """Return the data module's class names if their number fits, else the outputs' numbers."""
    names = class_names_of(getattr(trainer, "datamodule", None))
    if outputs == 1 and not task.has_classes:
        names = names if len(names) == 1 else ["value"]
    return [str(name) for name in (names if len(names) == outputs else range(outputs))]


def _ids(trainer: Trainer) -> dict[int, str]:
    """Return the id of each sample by its index, if the data set knows them."""
    loaders = CombinedLoader(trainer.predict_dataloaders, "sequential").flattened
    found: dict[int, str] = {}
    for loader in loaders:
        dataset = getattr(loader, "dataset", None)
        ids, index = getattr(dataset, "ids", None), getattr(dataset, "index", None)
        if ids is not None and index is not None:
            found |= {int(i): str(name) for i, name in zip(index, ids, strict=True)}
    return found


def sample_facts(batch: Batch, modality: str, size: int) -> dict[str, Tensor]:
    """Return what identifies the samples of a batch that have a modality.

    Returns:
        ``index``, or without one ``position`` within the batch and its ``size``; and ``label`` if
        it has no pixels.

    Example:
        >>> batch = {"audio": torch.zeros(2, 3), "label": torch.tensor([1, -100])}
        >>> sample_facts(batch, "audio", 2)
        {'position': tensor([0, 1]), 'label': tensor([   1, -100]), 'size': tensor(2)}
    """
    present = present_mask(batch, modality)
    facts: dict[str, Tensor] = {}
    if "index" in batch:
        facts["index"] = batch["index"]
    else:
        facts["position"] = torch.arange(size if present is None else len(present))
    label = batch.get("label")
    if isinstance(label, Tensor) and label.ndim <= 2:
        facts["label"] = label
    if present is not None:
        facts = {name: x[present.to(x.device)] for name, x in facts.items()}
    if "position" in facts:
        facts["size"] = torch.tensor(size if present is None else len(present))
    return facts
