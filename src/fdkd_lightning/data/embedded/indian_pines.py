"""Indian Pines: visible and infrared bands of one scene of fields, with a class per pixel."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fdkd_lightning.data.classes import chosen_classes
from fdkd_lightning.data.embedded.dense import DenseDataModule, DenseDataset, Maps
from fdkd_lightning.data.embedded.spatial_blocks import assign_folds, cut_blocks
from fdkd_lightning.data.preparation.recipe.label_map import VOID
from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.ops.optional import find_package

BANDS = 200
"""Bands of the corrected scene: 220 without those that water vapour absorbs."""

# Blue, green and red of Landsat's Thematic Mapper: 450-520, 520-600 and 630-690 nm.
VISIBLE = ((6, 13), (13, 21), (24, 30))

CLASSES = {
    2: "corn, no till",
    3: "corn, minimum till",
    4: "corn",
    5: "grass, pasture",
    6: "grass, trees",
    8: "hay, windrowed",
    10: "soybean, no till",
    11: "soybean, minimum till",
    12: "soybean, clean",
    13: "wheat",
    14: "woods",
    15: "buildings, grass, trees",
}
"""Value in the label map -> name, of the 12 classes with at least 200 pixels."""

NAMES = tuple(CLASSES.values())


class IndianPines(DenseDataModule):
    """Indian Pines, 12 classes: visible bands and short-wave infrared of one scene, real data.

    145 x 145 pixels of 20 m, taken by the airborne spectrometer AVIRIS over Indiana on 12 June
    1992. The package ``tensorly`` of the extra ``pines`` ships the scene and its label map. The
    data's licence is Creative Commons Attribution 3.0, as that package's loader states. Classes of
    fewer than 200 pixels are void: alfalfa, mown pasture, oats, towers; so are unlabelled pixels.

    Neighbouring pixels are nearly equal, and so would be random training and test pixels. The scene
    is therefore cut into square blocks without a margin at their four sides, and a sample is the
    inner part of a block: no network sees a pixel of another block, and pixels of different samples
    are more than 2 ``margin`` apart. Blocks are assigned to folds such that every class has pixels
    in each. One fold is the test split, the next the validation split, the others the training
    split. Fields may still extend over several blocks.

    Each channel is standardised by mean and standard deviation over the training blocks.

    Args:
        root: Folder with ``Indian_pines_corrected.npy`` and ``Indian_pines_gt.npy``; None: that of
            the package ``tensorly``.
        batch_size: Blocks per batch and rank.
        eval_batch_size: Blocks per batch and rank in evaluation; None: ``batch_size``.
        num_workers: Worker processes of each loader; 0 loads in the main process.
        modalities: ``visible``, ``infrared`` or both; None: both.
        seed: Draws views, the order and the blocks that keep their labels.
        transforms: Modality -> module applied to its batch; None: none.
        labelled: Number of training blocks that keep their labels, drawn such that the classes are
            covered; the others are void. None: all.
        scales: Scale factors, of which one is drawn for each training view.
        crop: H and W of the training views, pixels; None: those of a sample.
        mirror: Flip half of the training views horizontally.
        fold: The fold that is tested on.
        folds: Number of folds, at least 3.
        block: Side of a block, pixels.
        margin: Pixels that are left out at each side of a block.
        split_seed: Seed of the folds.
        visible: The first band, from 0, and the one after the last, of each channel of ``visible``,
            which is their mean. Default: Landsat's blue, green and red.
        infrared: The first band, and the one after the last, of ``infrared``, each band a channel.
            Default: from 0.98 to 2.5 micrometres.
        classes: Names of the classes to keep, which become the classes 0, 1, ... in this order;
            pixels of others are void. None: all. The folds are those of all classes.

    Shape:
        - batch["visible"]: [N, 3, S, S], S = block - 2 margin
        - batch["infrared"]: [N, 138, S, S]
        - batch["label"]: [N, S, S] int64
        - batch["index"]: [N] int64, the number of the block, row by row

    Raises:
        ValueError: If an argument is out of range; when the scene is read, if a file has another
            form, or a class has no pixel in a fold.
        ImportError: When the scene is read, if the extra is not installed.
        FileNotFoundError: When the scene is read, if ``root`` lacks a file.

    Reference:
        Baumgardner et al., "220 Band AVIRIS Hyperspectral Image Data Set: June 12, 1992 Indian Pine
        Test Site 3" (2015), doi:10.4231/R7RX991C.

    Example:
        >>> data = IndianPines(modalities=["visible"], labelled=8)
        >>> data.num_classes, data.class_names[9]
        (12, 'wheat')
    """

    class_names: tuple[str, ...] = NAMES
    available_modalities: tuple[str, ...] = ("visible", "infrared")
    choice_arguments = (*DenseDataModule.choice_arguments, "classes")

    def __init__(
        self,
        root: str | Path | None = None,
        batch_size: int = 16,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        modalities: Sequence[str] | None = None,
        seed: int = 0,
        transforms: dict[str, nn.Module] | None = None,
        labelled: int | None = None,
        scales: tuple[float, ...] = (1.0,),
        crop: tuple[int, int] | None = None,
        mirror: bool = True,
        fold: int = 0,
        folds: int = 4,
        block: int = 12,
        margin: int = 1,
        split_seed: int = 0,
        visible: tuple[tuple[int, int], ...] = VISIBLE,
        infrared: tuple[int, int] = (62, BANDS),
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__(
            *(root, batch_size, eval_batch_size, num_workers, modalities, seed, transforms),
            *(labelled, scales, crop, mirror),
        )
        check_count("folds", folds, 3, example=4)
        check_count("fold", fold, 0, folds - 1)
        check_count("margin", margin, 0, example=1)
        check_count("block", block, 2 * margin + 1, example=12)
        check_count("split_seed", split_seed, 0)
        if not isinstance(visible, tuple | list) or not visible:
            raise ValueError(f"visible={visible!r} must be pairs of bands, such as [[6, 13]]")
        for name, bands in (*(("visible", pair) for pair in visible), ("infrared", infrared)):
            if not isinstance(bands, tuple | list) or len(bands) != 2:
                raise ValueError(f"{name}: {bands!r} must be two bands, such as [6, 13]")
            check_count(f"{name}[0]", bands[0], 0, BANDS - 1)
            check_count(f"{name}[1]", bands[1], bands[0] + 1, BANDS)
        self.class_numbers = chosen_classes(NAMES, classes)
        self.class_names = tuple(NAMES[number] for number in self.class_numbers)
        self.given_root = root
        self.fold, self.folds, self.split_seed = fold, folds, split_seed
        self.block, self.margin = block, margin
        self.visible, self.infrared = visible, infrared

    @cached_property
    def folder(self) -> Path:
        """Folder of the two files."""
        if self.given_root is not None:
            return self.root
        package = find_package("tensorly", extra="pines", purpose="reading Indian Pines")
        return package / "datasets" / "data"

    def prepare_data(self) -> None:
        """Read the scene once, so that what is missing is named before anything trains."""
        self.blocks_of("train")

    @cached_property
    def blocks(self) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.int64]]:
        """Values [B, S, S, 200], labels [B, S, S] and fold [B] of the blocks."""
        scene = _read(self.folder / "Indian_pines_corrected.npy", "[H, W, 200]")
        values = _read(self.folder / "Indian_pines_gt.npy", "[H, W]")
        if scene.ndim != 3 or scene.shape[2] != BANDS or values.shape != scene.shape[:2]:
            raise ValueError(
                f"{self.folder}: the scene is {list(scene.shape)} and its labels are "
                f"{list(values.shape)}, not [H, W, {BANDS}] and [H, W]: use tensorly's files"
            )
        table = np.full(256, VOID, np.uint8)
        table[[*CLASSES]] = np.arange(len(CLASSES))
        label = cut_blocks(table[values], self.block, self.margin)
        fold = assign_folds(label, self.folds, self.split_seed)
        for number in range(self.folds):
            lacking = {*range(len(CLASSES))} - {*label[fold == number].flat}
            if lacking:
                raise ValueError(
                    f"fold {number} has no pixel of {NAMES[min(lacking)]!r}: decrease "
                    f"block={self.block}, margin={self.margin} or folds={self.folds}"
                )
        return cut_blocks(scene, self.block, self.margin), label, fold

    def blocks_of(self, split: str) -> NDArray[np.int64]:
        """Return the numbers of the blocks of a split, ascending."""
        fold = self.blocks[2]
        val = (self.fold + 1) % self.folds
        roles = {"test": fold == self.fold, "val": fold == val}
        roles["train"] = ~(roles["test"] | roles["val"])
        return np.flatnonzero(roles[split])

    def read_split(self, split: str) -> DenseDataset:
        """Return the blocks of a split."""
        scene, label, _ = self.blocks
        numbers, train = self.blocks_of(split), self.blocks_of("train")
        maps = {}
        for name in self.modalities:
            values = self._channels(scene, name)
            mean = values[train].mean((0, 1, 2), dtype=np.float64)
            std = values[train].std((0, 1, 2), dtype=np.float64)
            standard = ((values[numbers] - mean) / std).astype(np.float32)
            maps[name] = Maps(standard)
        views = self.views((label.shape[1], label.shape[2]))
        chosen = np.full(256, VOID, np.uint8)
        chosen[[*self.class_numbers]] = np.arange(self.num_classes)
        return DenseDataset(maps, chosen[label[numbers]], numbers, views, self.seed)

    def _channels(self, scene: NDArray[Any], name: str) -> NDArray[np.float32]:
        if name == "infrared":
            return scene[..., slice(*self.infrared)].astype(np.float32)
        means = [scene[..., slice(*bands)].mean(-1) for bands in self.visible]
        return np.stack(means, -1).astype(np.float32)


def _read(path: Path, shape: str) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} does not exist: set root to the folder with it, or leave root out to read "
            "that of the package tensorly"
        ) from error
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no NumPy file {shape} without pickle ({error})") from error
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{path} holds {values.dtype}, not integers {shape}: use tensorly's files")
    return values
