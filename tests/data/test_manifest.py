import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fdkd_lightning.data.dataset import PairedDataset
from fdkd_lightning.data.manifest import PairedManifest
from fdkd_lightning.data.preparation.recipe import AudioRecipe, FramesRecipe, Recipe, TextRecipe
from fdkd_lightning.training.command import FDKDCLI

Write = Callable[..., Path]
CLASSES = ["low", "high"]


@pytest.fixture
def root(tmp_path: Path, write_clip: Write, write_wav: Write) -> Path:
    """Sixteen clips, a table of them, and a defect or two."""
    folder = tmp_path / "mine"
    rows = []
    for i in range(16):
        name = f"clips/{i}.{('flv', 'mp4')[i % 2]}"
        write_clip(folder / name, seconds=1)
        write_wav(folder / f"sound/{i}.wav", 0.5, (44_100, 48_000)[i % 2])
        split = ("train", "train", "val", "test")[i // 4]
        rows.append([f"clip{i}", split, CLASSES[i % 2], f"sound/{i}.wav", name, f"p{i % 3}"])
    (folder / "sound" / "1.wav").write_text("version https://git-lfs.github.com/spec/v1\n")
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "split", "label", "audio", "visual", "speaker"], *rows])
    return folder


def recipes() -> dict[str, Recipe]:
    return {
        "audio": AudioRecipe(8000, seconds=0.5),
        "visual": FramesRecipe(fps=2, size=32, count=1),
    }


def manifest(root: Path, **arguments: Any) -> PairedManifest:
    settings = {"min_coverage": 0.8, "class_names": CLASSES} | arguments
    return PairedManifest(root, "pairs.csv", recipes(), **settings)


def dataset(data: PairedManifest, split: str) -> PairedDataset:
    data.prepare_data()
    made = data.make_dataset(split)
    assert isinstance(made, PairedDataset)
    return made


def test_a_table_becomes_batches(root: Path) -> None:
    data = manifest(root, batch_size=4)
    data.prepare_data()
    data.setup("fit")
    assert data.datasets["train"].index.tolist() == [0, 2, 3, 4, 5, 6, 7]  # type: ignore[attr-defined]
    batch = next(iter(data.val_dataloader()))
    assert batch["audio"].shape == (4, 4000)
    assert batch["visual"].shape == (4, 1, 3, 32, 32)
    assert batch["index"].tolist() == [8, 9, 10, 11]
    assert batch["label"].tolist() == [0, 1, 0, 1]


def test_classes_are_those_of_the_table_where_none_are_given(root: Path) -> None:
    assert manifest(root, class_names=None).class_names == ("high", "low")


def test_a_column_is_needed_only_where_it_is_selected(root: Path) -> None:
    named = recipes() | {"text": TextRecipe()}
    data = PairedManifest(root, "pairs.csv", named, modalities=["visual"])
    assert len(dataset(data, "train")) == 8
    with pytest.raises(ValueError, match=r"pairs.csv, line 1: no column 'text'"):
        PairedManifest(root, "pairs.csv", named).prepare_data()


def test_speakers_stay_apart(root: Path) -> None:
    table = (root / "pairs.csv").read_text().replace(",val,", ",train,")
    (root / "pairs.csv").write_text(table)
    data = manifest(root, modalities=["visual"], val_fraction=0.3, group="speaker")
    train, val = (set(dataset(data, split).index.tolist()) for split in ("train", "val"))
    assert len(train) + len(val) == 12
    assert not {i % 3 for i in train} & {i % 3 for i in val}


def test_errors_name_file_line_and_value(root: Path) -> None:
    table = (root / "pairs.csv").read_text()
    for old, new, message in (
        ("clip3,", "clip2,", "line 5: id 'clip2' is that of .*pairs.csv, line 4 too"),
        ("clip3,train", "clip3,dev", "line 5: split 'dev' is none of"),
        ("clip3,train,high", "clip3,train,hi", r"line 5: label 'hi' is none of the 2 classes"),
        ("sound/3.wav", "../3.wav", "line 5: audio '../3.wav' leaves the root"),
    ):
        (root / "pairs.csv").write_text(table.replace(old, new))
        with pytest.raises(ValueError, match=f"pairs.csv, {message}"):
            manifest(root).prepare_data()
    with pytest.raises(FileNotFoundError, match=r"absent.csv is missing: correct table"):
        PairedManifest(root, "absent.csv", recipes()).prepare_data()


CONFIG = """
trainer:
  accelerator: cpu
  max_epochs: 1
  enable_progress_bar: false
  enable_model_summary: false
  logger: false
model:
  class_path: fdkd_lightning.UnimodalModule
  init_args:
    modality: audio
    model:
      class_path: fdkd_lightning.ResNet
      init_args: {num_classes: 2, in_chans: 1, layers: [1, 1, 1, 1], channels: [4, 4, 8, 8]}
data:
  class_path: fdkd_lightning.data.PairedManifest
  init_args:
    table: pairs.csv
    batch_size: 4
    min_coverage: 0.8
    class_names: [low, high]
    recipes:
      audio:
        class_path: fdkd_lightning.data.AudioRecipe
        init_args: {rate: 8000, seconds: 0.5}
      visual:
        class_path: fdkd_lightning.data.FramesRecipe
        init_args: {size: 32}
    transforms:
      audio:
        class_path: fdkd_lightning.data.LogMelSpectrogram
"""


def test_the_command_line_fits_and_tests(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "mine.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(CONFIG)))
    common = ["--config", str(config), f"--data.init_args.root={root}"]
    cli = FDKDCLI(["fit", *common])
    cli.trainer.test(cli.model, cli.datamodule, verbose=False)
    kinds = {path.name.split("-")[0] for path in (root / "prepared").iterdir()}
    assert kinds >= {"audio", "frames"}


def test_training_frames_vary_and_those_of_evaluation_do_not(root: Path) -> None:
    made = dataset(manifest(root, modalities=["visual"]), "train")
    views = [made[epoch, 1]["visual"] for epoch in range(6)]
    assert any(not torch.equal(view, views[0]) for view in views[1:])
    assert torch.equal(made[1]["visual"], made[1]["visual"])


def test_classes_may_be_given_in_another_order(root: Path) -> None:
    data = manifest(root, class_names=["emu", "high", "low"])
    assert data.num_classes == 3
    assert set(dataset(data, "test").label.tolist()) == {1, 2}
    with pytest.raises(ValueError, match=r"label 'high' is none of the 2 classes"):
        manifest(root, class_names=["emu", "low"]).prepare_data()
    with pytest.raises(ValueError, match="contains a name twice"):
        manifest(root, class_names=["low", "low"])
