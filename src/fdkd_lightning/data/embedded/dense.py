"""Base of the embedded data sets with a class per pixel: pixel-aligned maps, held in memory."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.utils.data import Dataset, DistributedSampler

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.embedded.labelled_maps import keep_label_maps
from fdkd_lightning.data.preparation.recipe.label_map import VOID, LabelMapRecipe
from fdkd_lightning.data.preparation.recipe.view import View
from fdkd_lightning.data.sampling import EpochSampler
from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.types import IGNORE_INDEX, Batch

SCALES = (1.0, 1.25, 1.5)
"""Scale factors of training views: small images are enlarged only."""


class Maps(NamedTuple):
    """The maps of one modality.

    Args:
        values: The maps as they are stored.
        unit: Factor from the stored to the loaded values.
        fill: Loaded value beyond the image, one per channel.
        bilinear: Interpolate bilinearly (8-bit colour images); else by nearest neighbour.

    Shape:
        - values: [M, H, W, C]
    """

    values: NDArray[Any]
    unit: float = 1.0
    fill: tuple[float, ...] = (0.0,)
    bilinear: bool = False


class DenseDataset(Dataset[Batch]):
    """Pixel-aligned maps of several modalities and their label maps, with one view for all.

    Indexing with a position gives the whole maps. Indexing with (epoch, position), the pairs of
    :class:`~fdkd_lightning.data.sampling.EpochSampler`, gives the training view of that epoch.

    Args:
        maps: Modality -> its maps.
        label: Class of each pixel, 255 for void.
        index: Id of each sample within the data set.
        views: Draws the views, with scales, crop and mirror.
        seed: Seed of the training views, together with epoch and index.
        boxes: Boxes of objects: left, top, right, bottom, class; unused rows have class -100. None:
            the samples have no boxes.

    Shape:
        - label: [M, H, W]
        - index: [M]
        - boxes: [M, B, 5]
        - sample[modality]: [C, H, W] float32
        - sample["label"]: [H, W] int64, -100 for void
        - sample["index"]: [] int64
        - sample["boxes"]: [B, 5] float32

    Raises:
        IndexError: If there is no such position.

    Example:
        >>> depth = Maps(np.full((1, 2, 3, 1), 1500, np.uint16), unit=0.001)
        >>> label, views = np.full((1, 2, 3), 255), LabelMapRecipe((0,), size=(2, 3))
        >>> sample = DenseDataset({"depth": depth}, label, np.zeros(1, np.int64), views)[0]
        >>> sample["depth"].shape, sample["depth"].max(), sample["label"].unique()
        (torch.Size([1, 2, 3]), tensor(1.5000), tensor([-100]))
    """

    def __init__(
        self,
        maps: Mapping[str, Maps],
        label: NDArray[Any],
        index: NDArray[np.int64],
        views: LabelMapRecipe,
        seed: int = 0,
        boxes: NDArray[np.float32] | None = None,
    ) -> None:
        self.maps = dict(maps)
        self.label = label
        self.index = index
        self.views = views
        self.seed = seed
        self.boxes = boxes

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, position: int | tuple[int, int]) -> Batch:
        epoch, i = position if isinstance(position, tuple) else (None, position)
        if not 0 <= i < len(self):
            raise IndexError(f"position {i} is out of range: there are {len(self)} samples")
        rng = None
        if epoch is not None:
            rng = np.random.default_rng((self.seed, epoch, int(self.index[i])))
        view = self.views.draw(rng)
        sample: Batch = {"index": torch.tensor(self.index[i])}
        for name, (values, unit, fill, bilinear) in self.maps.items():
            if rng is None:
                pixels = values[i]
            elif bilinear:
                pixels = view.bilinear(Image.fromarray(values[i]), fill)
            else:
                pixels = view.nearest(values[i], 0.0)
            channels_first = np.ascontiguousarray(pixels.transpose(2, 0, 1))
            sample[name] = torch.from_numpy(channels_first.astype(np.float32) * np.float32(unit))
        numbers = view.nearest(self.label[i], VOID).astype(np.int64)
        numbers[numbers == VOID] = IGNORE_INDEX
        sample["label"] = torch.from_numpy(numbers)
        if self.boxes is not None:
            sample["boxes"] = torch.from_numpy(self._boxes(i, view))
        return sample

    def _boxes(self, i: int, view: View) -> NDArray[np.float32]:
        assert self.boxes is not None
        boxes = self.boxes[i]
        seen = view.boxes(boxes[boxes[:, 4] >= 0], self.label.shape[1:])
        padded: NDArray[np.float32] = np.zeros_like(boxes)
        padded[:, 4] = IGNORE_INDEX
        padded[: len(seen)] = seen
        return padded


class DenseDataModule(MultimodalDataModule):
    """Base class of embedded data modules with a class per pixel.

    All modalities, the label map and the boxes of a sample share one view: a random scale, crop and
    mirroring in training, the whole map in evaluation. Void pixels are -100.

    Subclasses set ``class_names`` and ``available_modalities`` and override :meth:`read_split`.

    Args:
        root: Folder of the data; None: the user's cache folder.
        batch_size: Samples per batch and rank.
        eval_batch_size: Samples per batch and rank in evaluation; None: ``batch_size``.
        num_workers: Worker processes of each loader; 0 loads in the main process.
        modalities: Modalities to load; None: all of the data set.
        seed: Draws views, the order and the maps that keep their labels.
        transforms: Modality -> module applied to its batch; overrides those of the data set.
        labelled: Number of training samples that keep their label map, drawn such that the classes
            are covered; the others are void. None: all.
        scales: Scale factors, of which one is drawn for each training view.
        crop: H and W of the training views, pixels; None: those of the maps.
        mirror: Flip half of the training views horizontally.

    Raises:
        ValueError: If an argument is out of range.
    """

    choice_arguments = (*MultimodalDataModule.choice_arguments, "seed")
    aligned = True

    def __init__(
        self,
        root: str | Path | None = None,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        modalities: Sequence[str] | None = None,
        seed: int = 0,
        transforms: dict[str, nn.Module] | None = None,
        labelled: int | None = None,
        scales: tuple[float, ...] = SCALES,
        crop: tuple[int, int] | None = None,
        mirror: bool = True,
    ) -> None:
        super().__init__(
            root, batch_size, eval_batch_size, num_workers, modalities, seed, transforms
        )
        if labelled is not None:
            check_count("labelled", labelled)
        self.labelled = labelled
        self.scales, self.crop, self.mirror = scales, crop, mirror
        # Checks the arguments; the size of the maps is known later.
        self.views((1, 1))

    def views(self, size: tuple[int, int]) -> LabelMapRecipe:
        """Return what draws the views of maps of a size.

        Args:
            size: H and W of the maps.
        """
        return LabelMapRecipe((IGNORE_INDEX,), size, self.scales, self.crop, self.mirror)

    @abstractmethod
    def read_split(self, split: str) -> DenseDataset:
        """Return the samples of a split with all their labels."""

    def make_dataset(self, split: str) -> DenseDataset:
        """Return a split; of the training split, ``labelled`` samples keep their label map."""
        dataset = self.read_split(split)
        if split == "train" and self.labelled is not None:
            dataset.label = keep_label_maps(dataset.label, self.labelled, self.seed)
        return dataset

    def make_sampler(
        self, dataset: Dataset[Batch], num_replicas: int, rank: int, seed: int
    ) -> DistributedSampler[Any]:
        """Return a sampler of (epoch, position), from which the training views are drawn."""
        return EpochSampler(dataset, num_replicas, rank, seed)
