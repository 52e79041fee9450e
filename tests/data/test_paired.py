import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from torch import Tensor, nn

from fdkd_lightning.data.dataset import PairedDataset
from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.preparation import manifest_file, prepare as prepare_module
from fdkd_lightning.data.preparation.coverage import CoverageError
from fdkd_lightning.data.preparation.recipe import (
    AudioRecipe,
    ImageRecipe,
    MediaRecipe,
    Recipe,
    TextRecipe,
)
from fdkd_lightning.data.preparation.sample import Sample

Write = Callable[..., Path]
SPLITS = ["train"] * 12 + ["val"] * 4 + ["test"] * 4


class Tones(PairedDataModule):
    """Twenty samples, as a test leaves them; each sound is as long as its number says."""

    given: list[Sample]

    def read_samples(self) -> list[Sample]:
        return self.given


@pytest.fixture
def samples(tmp_path: Path, write_wav: Write, write_picture: Write) -> list[Sample]:
    made = []
    for i, split in enumerate(SPLITS):
        write_wav(tmp_path / f"{i}.wav", (100 + i) / 8000, 8000)
        write_picture(tmp_path / f"{i}.jpg", color=(10 * i, 0, 0))
        sources = {"audio": f"{i}.wav", "visual": f"{i}.jpg", "text": f"number {i}"}
        label = "cab"[i % 3]
        made.append(Sample(f"s{i}", split, label, sources, where=f"t.csv, line {i + 2}"))
    return made


def recipes() -> dict[str, Recipe]:
    sound = AudioRecipe(8000, seconds=0.01, crop="random")
    return {"audio": sound, "visual": ImageRecipe(size=8), "text": TextRecipe()}


def tones(root: Path, samples: list[Sample], **arguments: Any) -> Tones:
    settings = {"min_coverage": 0.0} | arguments
    data = Tones(root, **settings | {"recipes": recipes() | settings.get("recipes", {})})
    data.given = samples
    return data


def dataset(data: PairedDataModule, split: str = "train") -> PairedDataset:
    data.prepare_data()
    made = data.make_dataset(split)
    assert isinstance(made, PairedDataset)
    return made


def labels(made: PairedDataset) -> dict[int, int]:
    return dict(zip(made.index.tolist(), made.label.tolist(), strict=True))


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    def equal(x: Any, y: Any) -> bool:
        return torch.equal(x, y) if isinstance(x, Tensor) else bool(x == y)

    return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)


class Reader(LightningModule):
    """Keeps what it is trained on, epoch by epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[list[Tensor]] = []

    def on_train_epoch_start(self) -> None:
        self.seen.append([])

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        self.seen[-1].append(torch.cat([batch["index"][:, None], batch["audio"]], 1))
        return self.weight * batch["visual"].mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_batch_is_as_documented(tmp_path: Path, samples: list[Sample]) -> None:
    data = tones(tmp_path, samples, batch_size=4)
    data.prepare_data()
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    assert batch["audio"].shape == (4, 80)
    assert batch["visual"].shape == (4, 3, 8, 8)
    assert batch["text"] == [f"number {i}" for i in range(16, 20)]
    assert (batch["label"].dtype, batch["index"].dtype) == (torch.int64, torch.int64)
    assert batch["index"].tolist() == [16, 17, 18, 19]
    assert batch["label"].tolist() == [0, 1, 2, 0]  # a, b, c
    assert set(batch) == {"audio", "visual", "text", "label", "index"}
    assert data.class_names == ("a", "b", "c")


def test_an_index_is_the_same_whatever_is_selected_or_left_out(
    tmp_path: Path, samples: list[Sample]
) -> None:
    whole = labels(dataset(tones(tmp_path, samples)))
    assert list(whole) == list(range(12))
    (tmp_path / "3.wav").unlink()
    part = labels(dataset(tones(tmp_path, samples, prepared=tmp_path / "other")))
    assert part == {i: label for i, label in whole.items() if i != 3}
    assert labels(dataset(tones(tmp_path, samples, modalities=["visual"]))) == whole


def test_only_the_selected_modality_is_decoded(tmp_path: Path, samples: list[Sample]) -> None:
    for path in tmp_path.glob("*.wav"):
        path.unlink()
    made = dataset(tones(tmp_path, samples, modalities=["visual"], min_coverage=1.0))
    assert set(made[0]) == {"visual", "label", "index"}


def test_a_sample_without_an_optional_modality_is_kept_blank(
    tmp_path: Path, samples: list[Sample]
) -> None:
    (tmp_path / "0.wav").unlink()
    samples[1] = samples[1]._replace(sources={"visual": "1.jpg", "text": "so"})
    samples[2] = samples[2]._replace(sources={"audio": "2.wav", "text": "so"})
    samples[3] = samples[3]._replace(sources={"audio": "3.wav", "visual": "3.jpg"})
    data = tones(tmp_path, samples, optional_modalities=["audio", "text"], batch_size=4)
    made = dataset(data)
    assert made.index.tolist() == [0, 1, *range(3, 12)]
    loader = torch.utils.data.DataLoader(made, 4)
    batch = next(iter(loader))
    assert batch["present"]["audio"].tolist() == [False, False, True, True]
    assert batch["present"]["text"].tolist() == [True, True, False, True]
    assert set(batch["present"]) == {"audio", "text"}
    assert batch["audio"].abs().sum(1).gt(0).tolist() == [False, False, True, True]
    assert batch["text"][2] == ""
    strict = tones(tmp_path, samples)
    assert dataset(strict).index.tolist() == list(range(4, 12))
    assert "present" not in dataset(strict)[0]


def test_a_sample_must_have_something(tmp_path: Path, samples: list[Sample]) -> None:
    samples[0] = samples[0]._replace(sources={"text": "so"})
    samples[1] = samples[1]._replace(sources={"audio": "1.wav"})
    # One data configuration serves the teacher's training, the student's and both.
    kept = {
        modalities: dataset(
            tones(
                tmp_path,
                samples,
                modalities=modalities,
                optional_modalities=["audio", "visual"],
            )
        ).index.tolist()
        for modalities in (("audio",), ("visual",), ("audio", "visual"))
    }
    assert kept == {
        ("audio",): list(range(1, 12)),
        ("visual",): list(range(2, 12)),
        ("audio", "visual"): list(range(1, 12)),
    }
    nothing = [sample._replace(sources={}) for sample in samples]
    with pytest.raises(ValueError, match=r"split 'train' has no sample with any modality"):
        dataset(tones(tmp_path, nothing, optional_modalities=["audio", "visual", "text"]))


def test_all_may_lack_what_is_optional(tmp_path: Path, samples: list[Sample]) -> None:
    samples = [sample._replace(sources={"audio": sample.sources["audio"]}) for sample in samples]
    optional = ["visual", "text"]
    made = dataset(tones(tmp_path, samples, optional_modalities=optional, min_coverage=1.0))
    assert made[0]["present"] == {"visual": False, "text": False}


def test_evaluation_sees_a_sample_the_same_each_time(tmp_path: Path, samples: list[Sample]) -> None:
    made = dataset(tones(tmp_path, samples))
    assert same(made[5], made[5])
    # The middle of 105 samples.
    stored = made.recipes["audio"].load(tmp_path / "prepared" / made.sources["audio"][5], None)
    torch.testing.assert_close(made[5]["audio"], stored)


def test_training_sees_another_view_each_epoch_and_the_same_again(
    tmp_path: Path, samples: list[Sample]
) -> None:
    made = dataset(tones(tmp_path, samples))
    views = [made[epoch, 11]["audio"] for epoch in range(20)]
    assert len({tuple(view.tolist()) for view in views}) > 5
    assert same(made[3, 11], made[3, 11])
    other = dataset(tones(tmp_path, samples, seed=1))
    assert any(not torch.equal(other[epoch, 11]["audio"], views[epoch]) for epoch in range(20))
    # Nor does another modality, or what else draws random numbers, change it.
    alone = dataset(tones(tmp_path, samples, modalities=["audio"]))
    torch.manual_seed(5)
    assert all(torch.equal(alone[epoch, 11]["audio"], views[epoch]) for epoch in range(20))


def test_a_run_sees_the_same_with_workers_and_when_it_is_resumed(
    tmp_path: Path, samples: list[Sample], make_trainer: Callable[..., Trainer]
) -> None:
    def seen(workers: int = 0, epochs: int = 3, ckpt: Path | None = None) -> list[Tensor]:
        settings = {"batch_size": 4, "modalities": ["audio", "visual"], "num_workers": workers}
        reader = Reader()
        trainer = make_trainer(max_epochs=epochs, enable_checkpointing=False)
        trainer.fit(reader, tones(tmp_path, samples, **settings), ckpt_path=ckpt)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return [torch.cat(epoch) for epoch in reader.seen]

    whole = seen()
    assert len(whole) == 3
    assert sorted(whole[0][:, 0].tolist()) == list(range(12))
    assert not torch.equal(whole[0][whole[0][:, 0].argsort()], whole[1][whole[1][:, 0].argsort()])
    for again, expected in (
        (seen(epochs=2), whole[:2]),
        (seen(2, 3, tmp_path / "2.ckpt"), whole[2:]),
        (seen(2), whole),
    ):
        assert len(again) == len(expected)
        assert all(torch.equal(a, b) for a, b in zip(again, expected, strict=True))


def test_a_labelled_part_is_stratified_and_nested(tmp_path: Path, samples: list[Sample]) -> None:
    samples[0] = samples[0]._replace(label="")
    full = labels(dataset(tones(tmp_path, samples)))
    assert full[0] == -100
    kept = {}
    for labelled in (3, 6):
        part = labels(dataset(tones(tmp_path, samples, labelled=labelled)))
        kept[labelled] = {i: label for i, label in part.items() if label != -100}
        assert Counter(kept[labelled].values()) == dict.fromkeys(range(3), labelled // 3)
        assert kept[labelled].items() < full.items()
    assert kept[3].items() < kept[6].items()
    seeds = [dataset(tones(tmp_path, samples, labelled=3, seed=seed)).label for seed in range(9)]
    assert len({tuple(label.tolist()) for label in seeds}) > 1
    val = dataset(tones(tmp_path, samples, labelled=3), "val")
    assert -100 not in val.label.tolist()
    with pytest.raises(ValueError, match="labelled=12 must be from 1 to 11"):
        dataset(tones(tmp_path, samples, labelled=12))


def test_balance_draws_classes_equally_often(tmp_path: Path, samples: list[Sample]) -> None:
    samples = [s._replace(label="a" if i < 10 else "b") for i, s in enumerate(samples)]
    data = tones(tmp_path, samples, balance=True, modalities=["text"])
    sampler = data.make_sampler(dataset(data), 1, 0, 0)
    drawn: Counter[bool] = Counter()
    for epoch in range(200):
        sampler.set_epoch(epoch)
        drawn.update(position < 10 for _, position in sampler)
    assert drawn[True] / drawn.total() == pytest.approx(0.5, abs=0.05)


def test_a_validation_split_is_drawn_where_there_is_none(
    tmp_path: Path, samples: list[Sample]
) -> None:
    without = [s._replace(split="train") if s.split == "val" else s for s in samples]
    with pytest.raises(ValueError, match=r"split 'val' .*: set val_fraction"):
        dataset(tones(tmp_path, without), "val")
    splits = [
        {split: set(labels(dataset(data, split))) for split in ("train", "val", "test")}
        for seed in (0, 1)
        if (data := tones(tmp_path, without, val_fraction=0.2, seed=seed))
    ]
    assert splits[0] == splits[1]
    assert len(splits[0]["val"]) == 3
    assert splits[0]["test"] == {16, 17, 18, 19}
    assert splits[0]["train"] | splits[0]["val"] == set(range(16))
    other = tones(tmp_path, without, val_fraction=0.2, split_seed=3)
    assert set(labels(dataset(other, "val"))) != splits[0]["val"]
    with pytest.raises(
        ValueError, match=r"val_fraction=0.2, but the data set has a validation split"
    ):
        dataset(tones(tmp_path, samples, val_fraction=0.2))


def test_groups_stay_together(tmp_path: Path, samples: list[Sample]) -> None:
    grouped = [
        s._replace(split="train" if s.split == "val" else s.split, group=f"g{i // 4}")
        for i, s in enumerate(samples)
    ]
    data = tones(tmp_path, grouped, val_fraction=0.25)
    val = sorted(labels(dataset(data, "val")))
    assert len(val) == 4
    assert len({i // 4 for i in val}) == 1


def test_what_is_not_to_be_trusted_is_named_before_anything_is_decoded(
    tmp_path: Path, samples: list[Sample]
) -> None:
    samples[5] = samples[5]._replace(sources={"audio": "../5.wav"})
    with pytest.raises(ValueError, match=r"t.csv, line 7: audio '../5.wav' leaves the root"):
        tones(tmp_path, samples).prepare_data()
    assert not (tmp_path / "prepared").exists()
    # It is neither checked nor read where it is not selected.
    tones(tmp_path, samples, modalities=["visual"]).prepare_data()
    with pytest.raises(ValueError, match="the data set has no samples"):
        tones(tmp_path, []).prepare_data()


def test_coverage_is_reported_and_required(
    tmp_path: Path, samples: list[Sample], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "0.wav").unlink()
    with (
        caplog.at_level("INFO"),
        pytest.raises(CoverageError, match="split 'train' has 11 of 12"),
    ):
        tones(tmp_path, samples, min_coverage=0.95).prepare_data()
    with caplog.at_level("INFO"):
        tones(tmp_path, samples, min_coverage=0.9).prepare_data()
    assert "train: 11 of 12 samples (91.7%); missing 1" in caplog.text
    assert not (tmp_path / "dry").exists()
    report = tones(tmp_path, samples, prepared=tmp_path / "dry").prepare(dry_run=True)
    assert report.decoded == 39
    assert not (tmp_path / "dry").exists()


def test_setup_without_preparing_asks_for_it(tmp_path: Path, samples: list[Sample]) -> None:
    with pytest.raises(FileNotFoundError, match=r"manifest-.* does not exist: call prepare_data"):
        tones(tmp_path, samples).setup("fit")


def test_a_changed_manifest_is_named(tmp_path: Path, samples: list[Sample]) -> None:
    data = tones(tmp_path, samples)
    data.prepare_data()
    (manifest,) = (tmp_path / "prepared").glob("manifest*.csv")
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(RuntimeError, match=r"manifest-.*csv was modified: delete it"):
        data.setup("fit")


def test_a_damaged_compact_form_can_be_rebuilt(tmp_path: Path, samples: list[Sample]) -> None:
    made = dataset(tones(tmp_path, samples))
    before, path = made[2], tmp_path / "prepared" / made.sources["audio"][2]
    path.unlink()
    with pytest.raises(RuntimeError, match=rf"{path.name} cannot be read .*call prepare_data\(\)"):
        made[2]
    assert same(dataset(tones(tmp_path, samples))[2], before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipes": {}}, "recipes={}: name at least one"),
        ({"recipes": {"label": TextRecipe()}}, "recipes: 'label' cannot be the name of a modality"),
        ({"recipes": {"a b": TextRecipe()}}, "recipes: 'a b' cannot be"),
        ({"modalities": ["depth"]}, "modalities=.'depth'. must be a list of one or more of"),
        (
            {"optional_modalities": ["depth"]},
            "optional_modalities='depth' is unknown: choose 'audio'",
        ),
        ({"labelled": 0}, "labelled=0 must be at least 1"),
        ({"val_fraction": 1.0}, "val_fraction=1.0 must be above 0 and below 1"),
        ({"val_fraction": math.nan}, "val_fraction=nan must be above 0 and below 1"),
        ({"split_seed": -1}, "split_seed=-1 must be at least 0"),
        ({"prepare_workers": -1}, "prepare_workers=-1 must be at least 0"),
        ({"min_coverage": 1.5}, "min_coverage=1.5 must be from 0 to 1"),
        ({"views": {"audio": "audio"}}, "views=.*'audio' must be a new name"),
        ({"views": {"more": "depth"}}, "'depth' one of the modalities"),
        ({"views": {"label": "audio"}}, "'label' cannot be"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tones(tmp_path, **({"recipes": recipes()} | arguments))


def test_a_view_shows_a_modality_once_more(tmp_path: Path, samples: list[Sample]) -> None:
    data = tones(
        tmp_path,
        samples,
        modalities=["visual", "audio"],
        views={"visual_teacher": "visual", "audio_teacher": "audio"},
        recipes={"visual_teacher": ImageRecipe(size=16, augment=False)},
        transforms={"audio": nn.Identity()},
    )
    made = dataset(data)
    sample = made[0, 3]
    assert sample["visual"].shape == (3, 8, 8)
    assert sample["visual_teacher"].shape == (3, 16, 16)
    # Of the same recipe, drawn apart; and decoded once.
    drawn = [made[epoch, 11] for epoch in range(20)]
    assert any(not torch.equal(s["audio"], s["audio_teacher"]) for s in drawn)
    assert len({p.name for p in data.prepared.iterdir() if p.is_dir()}) == 2
    assert set(data.transforms) == {"audio", "audio_teacher"}
    with pytest.raises(ValueError, match="'visual' one of the modalities"):
        tones(tmp_path, samples, modalities=["audio"], views={"visual_teacher": "visual"})


def test_a_view_may_be_missing_where_its_modality_may(
    tmp_path: Path, samples: list[Sample]
) -> None:
    samples[0] = samples[0]._replace(sources={"text": "alone"})
    data = tones(
        tmp_path,
        samples,
        modalities=["audio", "text"],
        optional_modalities=["audio"],
        views={"audio_teacher": "audio"},
    )
    present = dataset(data)[0]["present"]
    assert present == {"audio": False, "audio_teacher": False}


class Own(Tones):
    """A set that has recipes, transforms, classes and a validation part of its own."""

    class_names = ("c", "b", "a")
    own_val_fraction = 0.25

    def default_recipes(self) -> dict[str, Recipe]:
        return recipes()

    def default_transforms(self) -> dict[str, nn.Module]:
        return {"audio": nn.ReLU()}


def test_a_set_has_its_own_unless_told_otherwise(tmp_path: Path, samples: list[Sample]) -> None:
    data = Own(tmp_path, recipes={"visual": ImageRecipe(size=4)}, min_coverage=0.0)
    assert data.modalities == ("audio", "visual", "text")
    assert list(data.transforms) == ["audio"]
    assert isinstance(data.recipes["visual"], ImageRecipe)
    assert data.recipes["visual"].size == 4
    data.given = [s._replace(split="train" if s.split == "val" else s.split) for s in samples]
    assert Counter(s.split for s in data.samples) == {"train": 12, "val": 4, "test": 4}
    told = Own(tmp_path, val_fraction=0.75)
    told.given = data.given
    assert Counter(s.split for s in told.samples)["val"] == 12
    owners = Own(tmp_path)
    owners.given = samples
    assert owners.samples == samples


class LabelMap(ImageRecipe):
    """The red of each pixel; mirrored, cropped as images are."""

    def load(self, source: Path, rng: np.random.Generator | None) -> Tensor:
        return (super().load(source, rng)[0] * 255).round().long()

    def blank(self, rng: np.random.Generator | None = None) -> Tensor:
        return torch.full((self.size, self.size), -100)


class Scenes(Tones):
    aligned = True
    class_names = ("dark", "bright")

    def label_recipe(self) -> MediaRecipe:
        return LabelMap(size=8)


def test_each_pixel_may_have_a_label_that_sees_what_the_image_sees(
    tmp_path: Path, samples: list[Sample]
) -> None:
    ramp = np.linspace(0, 255, 64)[None].repeat(48, 0)
    Image.fromarray(np.stack([ramp] * 3, 2).astype(np.uint8)).save(tmp_path / "ramp.png")
    sources = {"visual": "ramp.png", "label_map": "ramp.png"}
    made = [s._replace(sources=dict(sources), label="") for s in samples]
    made[1] = made[1]._replace(sources={"visual": "ramp.png"})
    made[2] = made[2]._replace(sources=sources | {"label_map": "not-there.png"})
    data = Scenes(tmp_path, {"visual": ImageRecipe(size=8)}, min_coverage=0.0, labelled=9)
    data.given = made
    rows = dataset(data)
    assert rows.index.tolist() == [0, 1, *range(3, 12)]
    masked = [i for i in range(len(rows)) if (rows[i]["label"] == -100).all()]
    assert 1 in masked
    assert len(masked) == 2  # the one without a map, and one of ten that have it
    for epoch in range(10):
        sample = rows[epoch, min(set(range(len(rows))) - set(masked))]
        torch.testing.assert_close(sample["label"], (sample["visual"][0] * 255).round().long())
    with pytest.raises(ValueError, match="balance=True needs one class per sample"):
        Scenes(tmp_path, {"visual": ImageRecipe()}, balance=True)


def test_a_prepared_folder_serves_any_part_of_what_it_holds(
    tmp_path: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shared folder that cannot be written, without the source files."""
    (tmp_path / "3.wav").unlink()
    whole = tones(tmp_path, samples)
    expected = {split: dataset(whole, split) for split in ("train", "val", "test")}

    def read_only(*_: object, **__: object) -> None:
        raise PermissionError("prepared: cannot write to it")

    for module in (manifest_file, prepare_module):
        monkeypatch.setattr(module, "require_folder", read_only)
    before = sorted(whole.prepared.iterdir())
    for modalities, kept, n in (
        (["visual"], samples, 12),
        (["audio", "text"], samples, 11),
        (["audio"], [s for s in samples if s.split != "train"], 0),
    ):
        data = tones(tmp_path / "elsewhere", kept, modalities=modalities, prepared=whole.prepared)
        data.prepare_data()
        for split in ("train", "val", "test") if n else ("val", "test"):
            made = data.make_dataset(split)
            assert len(made) == (n if split == "train" else 4)
            for name in modalities:
                one, other = made[0][name], expected[split][0][name]
                assert one == other if name == "text" else torch.equal(one, other)
    assert sorted(whole.prepared.iterdir()) == before
    # What it does not hold is to be decoded.
    other = tones(tmp_path, samples, recipes={"audio": AudioRecipe(4000)}, prepared=whole.prepared)
    with pytest.raises(PermissionError, match="prepared: cannot write"):
        other.prepare_data()
    with pytest.raises(FileNotFoundError, match=r"call prepare_data\(\) first"):
        other.make_dataset("test")


def test_media_behind_links_are_read_when_asked_for(tmp_path: Path, samples: list[Sample]) -> None:
    """As in the cache of a hub: names are links to blobs elsewhere."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "root").mkdir()
    for path in [*tmp_path.glob("*.wav"), *tmp_path.glob("*.jpg")]:
        path.rename(tmp_path / "blobs" / path.name)
        (tmp_path / "root" / path.name).symlink_to(tmp_path / "blobs" / path.name)
    for dry_run in (True, False):
        with pytest.raises(ValueError, match="set follow_links=true to allow it"):
            tones(tmp_path / "root", samples).prepare(dry_run)
    data = tones(tmp_path / "root", samples, follow_links=True, min_coverage=1.0)
    assert len(dataset(data)) == 12


def test_a_root_that_does_not_exist_is_named(tmp_path: Path, samples: list[Sample]) -> None:
    with pytest.raises(FileNotFoundError, match=rf"holds 0.wav: set root to {tmp_path}$"):
        tones(tmp_path / "absent", samples).prepare()


def test_labels_are_clean_whoever_reads_them(tmp_path: Path, samples: list[Sample]) -> None:
    numbers = [s._replace(label=f" {i % 11}.0") for i, s in enumerate(samples)]
    numbers[0] = numbers[0]._replace(label="nan")
    data = tones(tmp_path, numbers, modalities=["text"])
    assert data.class_names == tuple(map(str, range(11)))
    assert labels(dataset(data)) == {0: -100, **{i: i % 11 for i in range(1, 12)}}
