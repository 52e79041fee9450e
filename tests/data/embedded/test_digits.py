import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fdkd_lightning.data.embedded import digits as digits_module, digits_dataset
from fdkd_lightning.data.embedded.degrade import degrade_image
from fdkd_lightning.data.embedded.digit_names import NAMES
from fdkd_lightning.data.embedded.digits import AVDigits
from fdkd_lightning.data.preparation.store import read_arrays

CLEAN: dict[str, Any] = {"image_shift": 0, "image_noise": 0, "occluder": 0, "audio_snr": None}


def samples(root: Path, split: str = "train", **arguments: Any) -> dict[str, Any]:
    """All of a split's samples, stacked."""
    return AVDigits(root, **arguments).make_dataset(split).samples


def by_index(samples: dict[str, Any], name: str) -> dict[int, bytes]:
    pairs = zip(samples["index"].tolist(), samples[name], strict=True)
    return {i: value.numpy().tobytes() for i, value in pairs}


def test_a_batch_is_as_documented(digits_root: Path) -> None:
    data = AVDigits(digits_root, batch_size=4)
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    assert {name: (tuple(x.shape), x.dtype) for name, x in batch.items()} == {
        "audio": ((4, 8000), torch.float32),
        "visual": ((4, 1, 32, 32), torch.float32),
        "label": ((4,), torch.int64),
        "index": ((4,), torch.int64),
    }
    assert data.on_after_batch_transfer(batch, 0)["audio"].shape == (4, 1, 32, 32)


def test_sizes_of_the_splits(digits_root: Path) -> None:
    data = AVDigits(digits_root, train_size=300, modalities=["visual"])
    data.setup("fit")
    data.setup("test")
    assert {split: len(dataset) for split, dataset in data.datasets.items()} == {
        "train": 300,
        "val": 500,
        "test": 2500,
    }


@pytest.mark.parametrize("modality", ["audio", "visual", "text"])
def test_only_the_selected_modality_is_loaded(
    digits_root: Path, modality: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = digits_dataset.read_arrays
    monkeypatch.setattr(
        digits_dataset, "read_arrays", lambda path, names: read.extend(names) or real(path, names)
    )
    assert set(samples(digits_root, "test", modalities=[modality])) == {modality, "label", "index"}
    stored = [] if modality == "text" else [f"test_{modality}"]
    assert read == ["test_label", "test_index", *stored]


def test_training_pairs_are_stratified_and_nested(digits_root: Path) -> None:
    few = samples(digits_root, train_size=300, modalities=["visual"])
    many = samples(digits_root, train_size=1000, modalities=["visual"])
    assert torch.bincount(few["label"]).tolist() == [30] * 10
    assert set(few["index"].tolist()) < set(many["index"].tolist()) < set(range(2000))
    other = samples(digits_root, train_size=300, modalities=["visual"], seed=1)
    assert set(other["index"].tolist()) != set(few["index"].tolist())


def test_labelled_pairs_are_stratified_and_nested(digits_root: Path) -> None:
    kept = {}
    for labelled in (100, 500):
        drawn = samples(digits_root, train_size=2000, labelled=labelled, modalities=["visual"])
        has_label = drawn["label"] != -100
        assert int(has_label.sum()) == labelled
        assert torch.bincount(drawn["label"][has_label]).tolist() == [labelled // 10] * 10
        kept[labelled] = set(drawn["index"][has_label].tolist())
    assert kept[100] < kept[500]


def test_evaluation_keeps_every_label(digits_root: Path) -> None:
    for split in ("val", "test"):
        drawn = samples(digits_root, split, train_size=300, labelled=10, modalities=["visual"])
        assert int(drawn["label"].min()) == 0


def test_labels_are_those_of_the_pair(digits_root: Path) -> None:
    full = samples(digits_root, train_size=2000, modalities=["visual"])
    labels = dict(zip(full["index"].tolist(), full["label"].tolist(), strict=True))
    part = samples(digits_root, train_size=1000, labelled=100, modalities=["visual"])
    for index, label in zip(part["index"].tolist(), part["label"].tolist(), strict=True):
        assert label in (-100, labels[index])


@pytest.mark.parametrize("modality", ["audio", "visual"])
def test_a_sample_is_the_same_whichever_subset_was_drawn(digits_root: Path, modality: str) -> None:
    many = by_index(samples(digits_root, train_size=2000, modalities=[modality]), modality)
    few = by_index(samples(digits_root, train_size=300, seed=5, modalities=[modality]), modality)
    alone = by_index(samples(digits_root, train_size=10, labelled=10), modality)
    assert few.items() < many.items()
    assert alone.items() < many.items()


def test_the_waveform_has_the_asked_snr(digits_root: Path) -> None:
    clean = samples(digits_root, "val", audio_snr=None, modalities=["audio"])["audio"]
    for snr in (5.0, 20.0):
        noisy = samples(digits_root, "val", audio_snr=snr, modalities=["audio"])["audio"]
        for word, noise in zip(clean[::5], (noisy - clean)[::5], strict=True):
            heard = word.nonzero()
            power = word[heard[0] : heard[-1] + 1].square().mean() / noise.square().mean()
            assert 10 * power.log10() == pytest.approx(snr, abs=0.05)


def test_names_are_not_made_unless_they_are_asked_for(
    digits_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(digits_dataset, "digit_name")
    assert set(samples(digits_root, "val")) == {"audio", "visual", "label", "index"}
    assert AVDigits(digits_root).transforms.keys() == {"audio"}


def test_names_leave_sound_and_picture_as_they_were(digits_root: Path) -> None:
    drawn: dict[str, Any] = {"train_size": 300, "labelled": 50, "seed": 2}
    two = samples(digits_root, **drawn)
    three = samples(digits_root, modalities=["text", "visual", "audio"], **drawn)
    assert three.keys() == {*two, "text"}
    for name, values in two.items():
        assert torch.equal(values, three[name])
    # Each by its own generator, from what is stored.
    data = AVDigits(digits_root)
    stored = read_arrays(data.path, ["train_visual"])["train_visual"]
    for i, picture in zip(two["index"].tolist()[:20], two["visual"][:20], strict=True):
        by_hand = degrade_image(stored[i] / np.float32(255), np.random.default_rng((0, 0, i)))
        assert np.array_equal(picture[0].numpy(), by_hand)


def names(root: Path, split: str = "train", **arguments: Any) -> dict[int, str]:
    drawn = samples(root, split, modalities=["text"], **arguments)
    return dict(zip(drawn["index"].tolist(), drawn["text"], strict=True))


def test_a_name_is_that_of_the_pairs_class_with_or_without_its_label(digits_root: Path) -> None:
    clean = names(digits_root, train_size=2000, text_noise=0)
    labels = samples(digits_root, train_size=2000, modalities=["visual"])
    of_class: dict[int, set[str]] = {k: set() for k in range(10)}
    for i, k in zip(labels["index"].tolist(), labels["label"].tolist(), strict=True):
        of_class[k].add(clean[i])
    for k, found in of_class.items():
        assert found == {words[k] for words in NAMES.values()}
    few = names(digits_root, train_size=500, labelled=10, seed=4, text_noise=0)
    assert few.items() < clean.items()


def test_names_are_the_same_each_time_and_of_no_other_split(digits_root: Path) -> None:
    one, two = (names(digits_root, "test") for _ in range(2))
    assert one == two
    assert len(one) == 2500
    assert names(digits_root, "val").keys().isdisjoint(one)


def test_no_reader_of_names_can_be_sure(digits_root: Path) -> None:
    """Whoever remembers each spelling's most frequent class errs on others."""
    seen: dict[str, list[int]] = {}
    train = samples(digits_root, train_size=2000, modalities=["text"])
    test = samples(digits_root, "test", modalities=["text"])
    for name, k in zip(train["text"], train["label"].tolist(), strict=True):
        seen.setdefault(name, []).append(k)
    right = [
        max(set(seen[name]), key=seen[name].count) == k if name in seen else None
        for name, k in zip(test["text"], test["label"].tolist(), strict=True)
    ]
    known = [hit for hit in right if hit is not None]
    assert 0.2 < len(known) / len(right) < 0.7  # most of the others' spellings are new
    assert 0.8 < sum(known) / len(known) < 0.99


def test_names_reach_a_network_as_bytes(digits_root: Path) -> None:
    data = AVDigits(digits_root, batch_size=4, modalities=["text"], text_noise=0)
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    written = [name.encode() for name in batch["text"]]
    tokens = data.on_after_batch_transfer(batch, 0)["text"]
    assert tokens.dtype == torch.int64
    assert tokens.shape == (4, max(map(len, written)))
    assert [bytes(t - 1 for t in row if t) for row in tokens.tolist()] == written


def test_clean_samples_are_in_range(digits_root: Path) -> None:
    clean = samples(digits_root, "val", **CLEAN)
    assert (clean["visual"].min(), clean["visual"].max()) == (0, 1)
    assert not clean["visual"][:, :, :2].any()
    assert clean["audio"].abs().amax(1).allclose(torch.tensor(0.5), atol=1e-4)


def test_default_samples_stay_near_that_range(digits_root: Path) -> None:
    hard = samples(digits_root, "val")
    assert hard["audio"].abs().max() < 2
    assert hard["visual"].abs().max() < 4


def test_each_setting_is_heard_or_seen(digits_root: Path) -> None:
    clean = samples(digits_root, "val", **CLEAN)
    for name, value in {"image_shift": 2, "image_noise": 0.5, "occluder": 6}.items():
        changed = samples(digits_root, "val", **{**CLEAN, name: value})["visual"]
        # An occluder may fall on paper alone.
        assert (changed != clean["visual"]).flatten(1).any(1).float().mean() > 0.4
    assert not samples(digits_root, "val", **{**CLEAN, "occluder": 32})["visual"].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_size": 9}, "train_size=9 must be from 10 to 2000"),
        ({"train_size": 2001}, "train_size=2001 must be from 10 to 2000"),
        ({"labelled": 5}, "labelled=5 must be from 10 to 1000"),
        ({"train_size": 300, "labelled": 301}, "labelled=301 must be from 10 to 300"),
        ({"image_shift": 3}, "image_shift=3 must be from 0 to 2"),
        ({"image_noise": -0.1}, r"image_noise=-0.1 must be at least 0"),
        ({"occluder": 33}, "occluder=33 must be from 0 to 32"),
        ({"build_seed": -1}, "build_seed=-1 must be at least 0"),
        ({"text_noise": 1.1}, "text_noise=1.1 must be from 0 to 1"),
        ({"modalities": ["depth"]}, r"modalities=\['depth'\] must be"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AVDigits(**arguments)


def test_the_file_name_tells_format_and_seed(tmp_path: Path) -> None:
    assert AVDigits(tmp_path, build_seed=7).path == tmp_path / "avdigits-v1-seed7.npz"
    assert AVDigits().path.parent.name == "fdkd_lightning"


def test_data_that_is_there_is_not_made_again(
    digits_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(digits_module, "build_digits")
    AVDigits(digits_root).prepare_data()


def test_made_data_needs_no_extra(digits_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("mlxtend", "espeakng_loader"):
        monkeypatch.setitem(sys.modules, package, None)
    data = AVDigits(digits_root, modalities=["visual"])
    data.prepare_data()
    data.setup("validate")


def test_data_that_is_not_made_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="call prepare_data"):
        AVDigits(tmp_path).setup("test")


def test_a_truncated_file_is_named(digits_root: Path, tmp_path: Path) -> None:
    path = AVDigits(tmp_path).path
    path.write_bytes(AVDigits(digits_root).path.read_bytes()[:1_000_000])
    data = AVDigits(tmp_path)
    data.prepare_data()
    with pytest.raises(RuntimeError, match=rf"{path} is damaged .*: delete it"):
        data.setup("test")


def test_an_unwritable_root_is_named_before_anything_is_spoken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("fdkd_lightning.data.embedded.espeak.synthesize")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"root: cannot write to .*file/data .*another folder"):
        AVDigits(tmp_path / "file" / "data").prepare_data()
