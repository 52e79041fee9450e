import csv
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.ops.segmentation_image import class_palette
from fdkd_lightning.training.run.predictions import PredictionTable
from fdkd_lightning.training.unimodal import UnimodalModule
from fdkd_lightning.types import Output

LOGITS = {30: [0.0, 2.0, 1.0], 4: [3.0, 0.0, 0.0], 17: [0.0, 0.0, 0.5], 5: [-9.0, 9.0, 0.0]}
"""Index -> what the network says; not in the order of the indices."""

SAMPLES = [{"audio": torch.tensor(x), "label": -100, "index": i} for i, x in LOGITS.items()]


class Echo(nn.Module):
    """Says what it hears."""

    def forward(self, x: Tensor) -> Output:
        return Output(x, x)


class Pets(MultimodalDataModule):
    class_names = ("cat", "dog", "fish")
    available_modalities = ("audio",)

    def make_dataset(self, split: str) -> Any:
        return SAMPLES


def loader(samples: Any = SAMPLES) -> DataLoader[Any]:
    return DataLoader(samples, batch_size=3)


def predict(tmp_path: Path, data: Any, path: str | Path | None = None) -> None:
    Trainer(
        accelerator="cpu",
        callbacks=[PredictionTable(path)],
        logger=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    ).predict(UnimodalModule(Echo(), "audio"), data)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_rows_are_sorted_by_index(tmp_path: Path) -> None:
    predict(tmp_path, loader())
    assert [row["index"] for row in read(tmp_path / "predictions.csv")] == ["4", "5", "17", "30"]


def test_each_row_has_the_softmax_of_its_sample_and_the_likeliest_class(tmp_path: Path) -> None:
    predict(tmp_path, loader())
    for row in read(tmp_path / "predictions.csv"):
        logits = torch.tensor(LOGITS[int(row["index"])])
        probabilities = [float(row[name]) for name in "012"]
        assert probabilities == pytest.approx(logits.softmax(0).tolist(), abs=1e-6)
        # Each is rounded to six digits.
        assert sum(probabilities) == pytest.approx(1, abs=1.6e-6)
        assert int(row["class"]) == logits.argmax()


def test_classes_have_the_names_of_the_data_module(tmp_path: Path) -> None:
    predict(tmp_path, Pets(batch_size=3))
    rows = read(tmp_path / "predictions.csv")
    assert list(rows[0]) == ["index", "class", "cat", "dog", "fish"]
    assert [row["class"] for row in rows] == ["cat", "dog", "fish", "dog"]


@pytest.mark.parametrize("has_data_module", [False, True])
def test_without_names_classes_are_numbers(tmp_path: Path, has_data_module: bool) -> None:
    data = Pets(batch_size=3)
    data.class_names = None  # type: ignore[assignment]
    predict(tmp_path, data if has_data_module else loader())
    rows = read(tmp_path / "predictions.csv")
    assert list(rows[0]) == ["index", "class", "0", "1", "2"]
    assert [row["class"] for row in rows] == ["0", "1", "2", "1"]


def test_names_of_another_number_of_classes_are_not_used(tmp_path: Path) -> None:
    data = Pets(batch_size=3)
    data.class_names = ("cat", "dog")  # type: ignore[misc, assignment]
    predict(tmp_path, data)
    assert list(read(tmp_path / "predictions.csv")[0]) == ["index", "class", "0", "1", "2"]


@pytest.mark.parametrize("kind", [str, Path])
def test_path_is_where_the_table_is_and_its_folder_is_made(
    tmp_path: Path, kind: type[str] | type[Path]
) -> None:
    path = tmp_path / "new" / "folder" / "table.csv"
    predict(tmp_path, loader(), kind(path))
    assert len(read(path)) == 4
    assert not (tmp_path / "predictions.csv").exists()


def test_a_table_that_is_there_is_replaced(tmp_path: Path) -> None:
    predict(tmp_path, loader())
    predict(tmp_path, loader(SAMPLES[:1]))
    assert [row["index"] for row in read(tmp_path / "predictions.csv")] == ["30"]


def test_a_sample_that_comes_twice_is_one_row(tmp_path: Path) -> None:
    predict(tmp_path, loader(SAMPLES + SAMPLES[:2]))
    assert [row["index"] for row in read(tmp_path / "predictions.csv")] == ["4", "5", "17", "30"]


def dense(classes: int, pixels: list[list[int]], index: int) -> dict[str, Any]:
    """A picture each of whose pixels is of a class almost surely."""
    logits = torch.full((classes, len(pixels), len(pixels[0])), -20.0)
    logits.scatter_(0, torch.tensor(pixels)[None], 20.0)
    label = torch.full((len(pixels), len(pixels[0])), -100)
    return {"audio": logits, "label": label, "index": index}


def test_a_class_for_each_pixel_is_a_picture_of_numbers(tmp_path: Path) -> None:
    pictures = {7: [[0, 2, 2], [1, 2, 0]], 3: [[1, 1, 1], [1, 1, 1]]}
    samples = [dense(3, pixels, index) for index, pixels in pictures.items()]
    predict(tmp_path, loader(samples))
    for index, pixels in pictures.items():
        with Image.open(tmp_path / "predictions" / f"{index}.png") as image:
            assert image.mode == "P"
            assert np.asarray(image).tolist() == pixels
            # Shown in the colours of the classes.
            colors = np.asarray(image.convert("RGB"))
        assert colors[0, 0].tolist() == class_palette(3)[pixels[0][0]].tolist()
        with Image.open(tmp_path / "predictions" / f"{index}_overlay.png") as image:
            assert np.asarray(image).shape == (2, 3, 3)


def test_the_table_then_has_the_means_over_the_pixels(tmp_path: Path) -> None:
    predict(tmp_path, loader([dense(3, [[0, 2, 2], [1, 2, 0]], 7)]))
    (row,) = read(tmp_path / "predictions.csv")
    assert row["class"] == "2"
    assert [float(row[name]) for name in "012"] == pytest.approx([1 / 3, 1 / 6, 1 / 2], abs=1e-6)


def test_many_classes_need_16_bits(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "table.csv"
    predict(tmp_path, loader([dense(300, [[299, 0]], 1)]), path)
    with Image.open(path.parent / "predictions" / "1.png") as image:
        assert np.asarray(image).tolist() == [[299, 0]]


def test_pictures_are_not_kept_in_memory(tmp_path: Path) -> None:
    trainer = Trainer(
        accelerator="cpu",
        callbacks=[PredictionTable()],
        logger=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    kept = trainer.predict(UnimodalModule(Echo(), "audio"), loader([dense(3, [[0, 1]], 1)]))
    assert kept is not None
    assert {*kept[0]} == {"index", "probabilities"}


class Named(list[Any]):
    """Samples with ids."""

    ids = ("d", "b", "c", "a")
    index = (30, 4, 17, 5)


def test_ids_and_true_labels_are_columns_where_they_are_known(tmp_path: Path) -> None:
    samples = Named([sample | {"label": i - 1} for i, sample in enumerate(SAMPLES)])
    predict(tmp_path, loader(samples))
    rows = read(tmp_path / "predictions.csv")
    assert [(row["id"], row["label"], row["class"]) for row in rows] == [
        ("b", "0", "0"),
        ("a", "2", "1"),
        ("c", "1", "2"),
        ("d", "", "1"),
    ]


def test_without_an_index_samples_are_numbered_as_they_come(tmp_path: Path) -> None:
    samples = [{"audio": sample["audio"]} for sample in SAMPLES]
    predict(tmp_path, loader(samples))
    rows = read(tmp_path / "predictions.csv")
    assert [(row["index"], row["class"]) for row in rows] == [
        ("0", "1"),
        ("1", "0"),
        ("2", "2"),
        ("3", "1"),
    ]
    table = PredictionTable(tmp_path / "predictions.csv")
    for broken in (True, False):
        run = Trainer(accelerator="cpu", callbacks=[table], logger=False, default_root_dir=tmp_path)
        data = loader([*samples, *([{"audio": None}] if broken else [])])
        with pytest.raises(TypeError) if broken else nullcontext():
            run.predict(UnimodalModule(Echo(), "audio"), data)
    assert [row["index"] for row in read(tmp_path / "predictions.csv")] == ["0", "1", "2", "3"]
    present = [{"audio": True}, {"audio": False}, {"audio": True}, {"audio": True}]
    predict(tmp_path, loader([s | {"present": p} for s, p in zip(samples, present, strict=True)]))
    assert [row["index"] for row in read(tmp_path / "predictions.csv")] == ["0", "2", "3"]
