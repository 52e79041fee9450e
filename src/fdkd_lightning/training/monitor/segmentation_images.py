"""Images of the samples that are segmented worst, written after each validation."""

import csv
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from torch import Tensor

from fdkd_lightning.files.atomic_write import atomic_write
from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.ops.distributed import gather_objects
from fdkd_lightning.ops.segmentation_image import class_palette, panels
from fdkd_lightning.training.missing_modality import samples_with
from fdkd_lightning.training.probe import output_target
from fdkd_lightning.types import IGNORE_INDEX, Batch


class SegmentationImages(Callback):
    """Write the worst segmented samples after each validation and test.

    ``segmentation/val_worst_1.png`` shows the sample with the lowest pixel accuracy: the network's
    input, the labels, the prediction, and the errors in red, in the colours of PASCAL VOC; then
    ``val_worst_2.png`` and so on. ``val_worst.csv`` lists their index and accuracy. Each validation
    replaces the files of the one before. Samples without a labelled pixel take no part.

    Args:
        folder: Where to write; None: ``segmentation`` in the trainer's ``default_root_dir``.
        count: Number of samples.

    Raises:
        ValueError: If ``count`` is no positive number; during validation, if the network gives no
            class per pixel.

    Example:
        >>> trainer = Trainer(callbacks=[SegmentationImages(count=4)], logger=False)
    """

    def __init__(self, folder: str | Path | None = None, count: int = 8) -> None:
        check_count("count", count)
        self.folder = folder
        self.count = count
        self._worst: list[tuple[float, int, Tensor]] = []
        self._seen = 0

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the batch's worst samples."""
        self._keep(pl_module, outputs, batch)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the batch's worst samples."""
        self._keep(pl_module, outputs, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the images, unless the validation was a sanity check."""
        self._write(trainer, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the images."""
        self._write(trainer, "test")

    def _keep(self, module: Any, outputs: dict[str, Any], batch: Batch) -> None:
        output = outputs["output"]
        logits = output.logits
        if logits.ndim != 4:
            raise ValueError(
                f"SegmentationImages: the logits have shape {list(logits.shape)}, no class per "
                "pixel: leave the callback out"
            )
        target = output_target(batch, output)
        indices = output.index
        if indices is None:
            indices = torch.arange(self._seen, self._seen + len(target))
        self._seen += len(target)
        inputs = samples_with(batch, module.modality)[module.modality]
        predicted = logits.argmax(1)
        known = target != IGNORE_INDEX
        right = ((predicted == target) & known).flatten(1).sum(1)
        accuracies = (right / known.flatten(1).sum(1)).tolist()
        palette = class_palette(logits.shape[1])
        for i, accuracy in enumerate(accuracies):
            limit = self._worst[-1][0] if len(self._worst) == self.count else float("inf")
            if accuracy < limit:  # NaN, without labels, is not
                shown = panels(inputs[i], target[i], predicted[i], palette)
                self._worst.append((accuracy, int(indices[i]), shown))
                self._worst = sorted(self._worst, key=lambda kept: kept[:2])[: self.count]

    def _write(self, trainer: Trainer, stage: str) -> None:
        # A distributed sampler repeats samples.
        found = {index: (a, x) for part in gather_objects(self._worst) for a, index, x in part}
        self._worst, self._seen = [], 0
        if trainer.sanity_checking or not trainer.is_global_zero or not found:
            return
        folder = Path(self.folder or Path(trainer.default_root_dir) / "segmentation")
        folder.mkdir(parents=True, exist_ok=True)
        worst = sorted((accuracy, index) for index, (accuracy, _) in found.items())[: self.count]
        for place, (_, index) in enumerate(worst, 1):
            with atomic_write(folder / f"{stage}_worst_{place}.png") as file:
                Image.fromarray(found[index][1].permute(1, 2, 0).numpy()).save(file, "PNG")
        with atomic_write(folder / f"{stage}_worst.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["image", "index", "pixel_accuracy"])
            for place, (accuracy, index) in enumerate(worst, 1):
                table.writerow([f"{stage}_worst_{place}.png", index, f"{accuracy:.4f}"])
