"""Predictions written as a CSV table, and as images where each pixel has a class."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.utilities import rank_zero_info
from PIL import Image

from fdkd_lightning.ops.atomic_write import atomic_write
from fdkd_lightning.ops.distributed import gather_objects


class PredictionTable(BasePredictionWriter):
    """Write the predictions of ``predict`` as a CSV table: index, class, probability per class.

    The rows are sorted by index; those of all ranks are gathered, each sample once.

    For segmentation, each sample's class numbers are also written as the pixel values of an image,
    ``predictions/<index>.png`` beside the table: 8 bits, or 16 bits with more than 256 classes. The
    probabilities in the table are then means over the pixels. These class maps are not kept in
    memory, nor returned by ``trainer.predict``.

    Args:
        path: Path of the table; None: ``predictions.csv`` in the trainer's ``default_root_dir``.

    Example:
        >>> trainer = Trainer(callbacks=[PredictionTable("predictions.csv")], logger=False)
    """

    def __init__(self, path: str | Path | None = None) -> None:
        super().__init__(write_interval="batch_and_epoch")
        self.path = path

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
        if "classes" not in prediction:
            return
        folder = self._table(trainer).parent / "predictions"
        folder.mkdir(parents=True, exist_ok=True)
        wide = prediction["probabilities"].shape[1] > 256
        for index, numbers in zip(prediction["index"], prediction.pop("classes"), strict=True):
            values = numbers.cpu().numpy().astype(np.uint16 if wide else np.uint8)
            with atomic_write(folder / f"{int(index)}.png", is_one_of_many=True) as file:
                Image.fromarray(values).save(file, "PNG")

    def write_on_epoch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        """Gather the predictions of all ranks and write the table on rank 0."""
        rows = {
            int(index): row.tolist()
            for batch in predictions
            for index, row in zip(batch["index"], batch["probabilities"], strict=True)
        }
        rows = {index: row for part in gather_objects(rows) for index, row in part.items()}
        if not trainer.is_global_zero or not rows:
            return
        path = self._table(trainer)
        path.parent.mkdir(parents=True, exist_ok=True)
        classes = len(next(iter(rows.values())))
        names = _class_names(trainer, classes)
        with atomic_write(path, "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["index", "class", *names])
            for index in sorted(rows):
                best = int(torch.tensor(rows[index]).argmax())
                table.writerow([index, names[best], *(f"{p:.6f}" for p in rows[index])])
        rank_zero_info(f"{len(rows)} predictions written to {path}")

    def _table(self, trainer: Trainer) -> Path:
        return Path(self.path or Path(trainer.default_root_dir) / "predictions.csv")


def _class_names(trainer: Trainer, classes: int) -> list[str]:
    """Return the data module's class names if their number fits, else the class numbers."""
    names = getattr(getattr(trainer, "datamodule", None), "class_names", ())
    return [str(name) for name in (names if len(names) == classes else range(classes))]
