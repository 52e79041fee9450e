import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

from fdkd_lightning.data.preparation.coverage import CoverageError
from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.sets.crisismmd import (
    CrisisMMD,
    CrisisMMDInformative,
    CrisisMMDNonAgreed,
    CrisisMMDTweets,
)

Write = Callable[..., Path]
Row = dict[str, str]
CONFIGS = Path(__file__).parents[3] / "configs"
AGREED = "crisismmd_datasplit_agreed_label/task_humanitarian_text_img_agreed_lab_{}.tsv"
INFORMATIVE = "crisismmd_datasplit_agreed_label/task_informative_text_img_agreed_lab_{}.tsv"
ALL = "crisismmd_datasplit_all/task_humanitarian_text_img_{}.tsv"
DAMAGE, NONE = "infrastructure_and_utility_damage", "not_humanitarian"
HEADER = (
    "event_name tweet_id image_id tweet_text image label label_text label_image label_text_image"
)


def row(number: int, picture: int = 0, **cells: str) -> Row:
    """A row as the authors write it; every other one is of damage."""
    tweet = str(917_791_044_158_185_473 + number)
    label = (DAMAGE, NONE)[number % 2]
    own = {
        "event_name": "california_wildfires",
        "tweet_id": tweet,
        "image_id": f"{tweet}_{picture}",
        "tweet_text": f"RT @who: wildfire {number} &amp; smoke https://t.co/{number}",
        "image": f"data_image/california_wildfires/10_10_2017/{tweet}_{picture}.jpg",
        "label": label,
        "label_text": label,
        "label_image": label,
        "label_text_image": "Positive",
    }
    return own | cells


# Two pictures of one tweet stay in one split.
SPLITS = {
    "train": [*(row(i) for i in range(10)), row(0, picture=1)],
    "dev": [row(i) for i in range(10, 14)],
    "test": [row(i) for i in range(14, 18)],
}


def write_list(
    root: Path, name: str, rows: Iterable[Row], encoding: str = "utf-8", end: str = "\n"
) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(HEADER.split()), *("\t".join(cells.values()) for cells in rows)]
    path.write_bytes("".join(line + end for line in lines).encode(encoding))
    return path


def write_train(root: Path, *more: Row, **how: str) -> None:
    write_list(root, AGREED.format("train"), [*SPLITS["train"], *more], **how)


@pytest.fixture
def root(tmp_path: Path, write_picture: Write) -> Path:
    """The authors' layout."""
    folder = tmp_path / "CrisisMMD_v2.0"
    for split, rows in SPLITS.items():
        write_list(folder, AGREED.format(split), rows)
        for cells in rows:
            damage = cells["label"] == DAMAGE
            write_picture(folder / cells["image"], color=(200, 50, 50) if damage else (50, 50, 200))
    return folder


def crisismmd(root: Path, kind: type[CrisisMMD] = CrisisMMD, **arguments: Any) -> CrisisMMD:
    settings = {"min_coverage": 0.5, "transforms": {"text": nn.Identity()}}
    return kind(root, **settings | arguments)


def manifest(data: CrisisMMD) -> dict[str, dict[str, str]]:
    with data.prepare().manifest.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def ids(samples: Iterable[Sample], split: str) -> list[str]:
    return [sample.id for sample in samples if sample.split == split]


def test_the_lists_become_splits_and_pictures_samples(root: Path) -> None:
    data = crisismmd(root, batch_size=4)
    for split, name in (("train", "train"), ("val", "dev"), ("test", "test")):
        assert ids(data.samples, split) == [cells["image_id"] for cells in SPLITS[name]]
    data.prepare_data()
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    assert batch["text"] == [cells["tweet_text"] for cells in SPLITS["test"]]
    assert batch["visual"].shape == (4, 3, 224, 224)
    assert batch["label"].tolist() == [1, 2, 1, 2]
    assert data.class_names[1:3] == (DAMAGE, NONE)
    batch = data.on_after_batch_transfer(batch, 0)
    red = (torch.tensor([200, 50]) / 255 - 0.485) / 0.229
    assert batch["visual"][:2, 0].mean((1, 2)).tolist() == pytest.approx(red.tolist(), abs=0.05)


def test_the_agreed_label_is_the_merged_one(root: Path) -> None:
    merged = {"label_text": DAMAGE, "label_image": DAMAGE}
    write_train(root, row(20, label="vehicle_damage", **merged))
    assert crisismmd(root).samples[11].label == DAMAGE
    differ = {"label_text": "affected_individuals", "label_image": DAMAGE}
    write_train(root, row(20, **differ))
    with pytest.raises(
        ValueError, match=r"line 13: label_text and label_image differ .*use the official"
    ):
        crisismmd(root).prepare_data()


def test_the_lists_of_all_pairs_have_eight_classes(root: Path) -> None:
    for split, rows in SPLITS.items():
        write_list(root, ALL.format(split), rows)
    differ = {"label_text": NONE, "label_image": "vehicle_damage"}
    odd = row(4, label="vehicle_damage", label_text_image="Negative", **differ)
    write_list(root, ALL.format("train"), [odd, *SPLITS["train"][:4]])
    data = crisismmd(root, CrisisMMDNonAgreed, modalities=["text"])
    data.prepare_data()
    assert data.num_classes == 8
    assert data.make_dataset("train").label.tolist() == [7, 1, 4, 1, 4]


def test_the_informative_task_has_lists_of_its_own(root: Path) -> None:
    for split, rows in SPLITS.items():
        labels = [("informative", "not_informative")[i % 2] for i in range(len(rows))]
        names = ("label", "label_text", "label_image")
        changed = [r | dict.fromkeys(names, k) for r, k in zip(rows, labels, strict=True)]
        write_list(root, INFORMATIVE.format(split), changed)
    data = crisismmd(root, CrisisMMDInformative)
    data.prepare_data()
    assert data.make_dataset("val").label.tolist() == [0, 1, 0, 1]


def test_a_quotation_mark_is_a_character_like_any_other(root: Path) -> None:
    # One that is never closed would swallow the rows after it; others would lose theirs.
    texts = ['"Pray for them', 'they said "go"', '"all" of it ""', "a\u2028b\x85c\x0bd"]
    write_train(
        root, *(row(20 + i, tweet_text=text, label_text_image="") for i, text in enumerate(texts))
    )
    data = crisismmd(root, modalities=["text"])
    data.prepare_data()
    made = data.make_dataset("train")
    assert [made[i]["text"] for i in range(11, 15)] == texts
    assert len(made) == 11 + 4
    # So a tab ends a cell wherever it stands.
    write_train(root, row(20, tweet_text='"a\tb"'))
    with pytest.raises(ValueError, match=r"lab_train.tsv, line 13: expected 9 cells, got 10"):
        crisismmd(root).prepare_data()


def test_a_line_feed_alone_ends_a_row(root: Path) -> None:
    write_train(root, row(20, tweet_text="a\rb"))
    assert crisismmd(root).samples[11].sources["text"] == "a\rb"


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(root: Path) -> None:
    plain = crisismmd(root).samples
    write_train(root, encoding="utf-8-sig", end="\r\n")
    assert crisismmd(root).samples == plain


def test_a_tweet_in_two_splits_counts_in_the_later_one(root: Path, write_picture: Write) -> None:
    more = [row(10, picture=1), row(14, picture=1)]  # of dev and test
    for cells in more:
        write_picture(root / cells["image"])
    write_train(root, *more)
    data = crisismmd(root)
    found = manifest(data)
    refused = {name: cells["reason"] for name, cells in found.items() if cells["status"] != "ok"}
    tweets = [cells["tweet_id"] for cells in more]
    assert refused == {
        f"{tweets[0]}_1": f"tweet {tweets[0]} is in the val split too",
        f"{tweets[1]}_1": f"tweet {tweets[1]} is in the test split too",
    }
    # A tweet with two pictures in one split is no leak.
    assert len(data.make_dataset("train")) == 11
    assert [len(data.make_dataset(split)) for split in ("val", "test")] == [4, 4]


def test_what_is_not_to_be_trusted_is_refused_with_file_and_line(root: Path) -> None:
    for bad, message in (
        (row(3), r"id '\d+_0' is that of .*lab_train.tsv, line 5 too"),
        (row(20, label_text="hurt", label_image="hurt"), "label 'hurt' is none of the 5 classes"),
        (row(20, image="../secret.jpg"), r"visual '../secret.jpg' leaves the root"),
        (row(20, image="/etc/secret.jpg"), r"visual '/etc/secret.jpg' leaves the root"),
    ):
        write_train(root, bad)
        with pytest.raises(ValueError, match=f"lab_train.tsv, line 13: {message}"):
            crisismmd(root).prepare_data()
    # The same picture in two splits, too.
    write_train(root, row(15))
    with pytest.raises(ValueError, match=r"lab_test.tsv, line 3: id '\d+_0' is that of .*line 13"):
        crisismmd(root).prepare_data()


def test_other_columns_and_absent_lists_are_refused(root: Path) -> None:
    path = write_list(root, AGREED.format("dev"), SPLITS["dev"])
    path.write_text(path.read_text().replace("tweet_text", "text"))
    with pytest.raises(ValueError, match=r"lab_dev.tsv, line 1: the columns are not event_name"):
        crisismmd(root).prepare_data()
    path.unlink()
    message = r"lab_dev.tsv is missing: .*unpack crisismmd_datasplit_agreed_label.zip"
    with pytest.raises(FileNotFoundError, match=message):
        crisismmd(root).prepare_data()
    with pytest.raises(FileNotFoundError, match=r"unpack crisismmd_datasplit_all.zip"):
        crisismmd(root, CrisisMMDNonAgreed).prepare_data()


def test_broken_pictures_and_empty_texts_are_left_out(root: Path) -> None:
    missing, broken, empty = (SPLITS["train"][i] for i in range(3))
    (root / missing["image"]).unlink()
    path = root / broken["image"]
    path.write_bytes(path.read_bytes()[:-300])
    write_list(
        root,
        AGREED.format("train"),
        [{**r, "tweet_text": ""} if r == empty else r for r in SPLITS["train"]],
    )
    found = manifest(crisismmd(root))
    status = [found[cells["image_id"]]["status"] for cells in (missing, broken, empty)]
    assert status == ["missing", "truncated", "absent"]
    data = crisismmd(root)
    assert len(data.make_dataset("train")) == 8
    with pytest.raises(CoverageError, match="train"):
        crisismmd(root, min_coverage=0.9).prepare_data()
    # Texts alone need no picture.
    texts = crisismmd(root, modalities=["text"])
    texts.prepare_data()
    assert len(texts.make_dataset("train")) == 10


def test_pictures_of_other_kinds_are_read_as_well(root: Path) -> None:
    cells = row(20, image="data_image/california_wildfires/10_10_2017/see_through.png")
    Image.new("RGBA", (40, 30), (10, 200, 30, 128)).save(root / cells["image"])
    write_train(root, cells)
    assert manifest(crisismmd(root))[cells["image_id"]]["status"] == "ok"


@pytest.fixture
def bert(tmp_path: Path) -> str:
    """A folder with a tiny BERT, random weights and a tokenizer of the words that occur here."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "rt", "who", "wildfire", "smoke", "https"]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    folder = tmp_path / "bert"
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 12, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=len(words), intermediate_size=8, **sizes)
    transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


def shipped(config: str, root: Path, bert: str, folder: Path) -> list[str]:
    """Arguments that make a shipped configuration train in seconds, where nothing is fetched."""
    networks = {
        "text": {"init_args": {"source": bert}},
        "visual": {"init_args": {"name": "mobilenetv2_035", "pretrained": False}},
    }
    role, modality = config.split("_")
    model: dict[str, Any] = {"model": networks[modality]}
    if role == "distill":
        other = "visual" if modality == "text" else "text"
        teacher = {"init_args": {"model": networks[other]}}
        width = {"text": 8, "visual": 1280}[other]
        model = {"student": networks[modality], "teachers": {other: teacher}}
        model["projector"] = {"init_args": {"out_features": width}}
    trainer = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    picture = {"class_path": "fdkd_lightning.data.ImageRecipe", "init_args": {"size": 32}}
    data: dict[str, Any] = {
        "root": str(root),
        "batch_size": 6,
        "num_workers": 0,
        "recipes": {"visual": picture},
    }
    if config != "unimodal_visual":
        tokens = {"class_path": "fdkd_lightning.data.Tokenize", "init_args": {"tokenizer": bert}}
        data["transforms"] = {"text": tokens}
    content = {"trainer": trainer, "model": {"init_args": model}, "data": {"init_args": data}}
    path = folder / f"{config}.yaml"
    path.write_text(yaml.safe_dump(content))
    return [f"--config={CONFIGS / 'crisismmd' / config}.yaml", f"--config={path}"]


def test_a_shipped_teacher_and_its_student_train_and_are_tested(
    root: Path,
    bert: str,
    tmp_path: Path,
    fdkd: Callable[..., str],
    fit: Callable[..., dict[str, Tensor]],
) -> None:
    prepared = fdkd("prepare", "CrisisMMD", f"--root={root}")
    assert "train: 11 of 11" in prepared
    for config in ("unimodal_text", "distill_visual"):
        arguments = shipped(config, root, bert, tmp_path)
        weights = fit(f"crisismmd/{config}", *arguments)
    assert weights["distiller.projector.linear.8.weight"].shape == (8, 1280)
    assert "test/accuracy" in fdkd("test", *arguments)


@pytest.mark.parametrize("folder", ["data/task_data", "task_data", "."])
def test_the_lists_of_the_authors_repository_are_read(root: Path, folder: str) -> None:
    expected = crisismmd(root).samples
    (root / folder).mkdir(parents=True, exist_ok=True)
    for path in (root / AGREED).parent.iterdir():
        path.rename(root / folder / path.name)
    assert [s._replace(where="") for s in crisismmd(root).samples] == [
        s._replace(where="") for s in expected
    ]


def test_lists_may_lie_elsewhere(root: Path, tmp_path: Path) -> None:
    (root / AGREED).parent.rename(tmp_path / "lists")
    data = crisismmd(root, lists=tmp_path / "lists")
    assert len(data.samples) == 19
    assert {row["status"] for row in manifest(data).values()} == {"ok"}


def test_one_row_a_tweet_is_the_first_of_val_test_and_train(root: Path) -> None:
    """As MST-Distill drops the other rows of a tweet."""
    lists = {
        "train": [row(0), row(0, picture=1), row(1), row(2, picture=1)],
        "dev": [row(3, picture=1), row(3), row(1, picture=2)],
        "test": [row(4), row(2), row(3, picture=2)],
    }
    for split, rows in lists.items():
        write_list(root, ALL.format(split), rows)
    samples = crisismmd(root, CrisisMMDTweets).samples
    kept = [sample for sample in samples if not sample.fault]
    assert [(s.split, s.id) for s in kept] == [
        (split, row(number, picture)["image_id"])
        for split, number, picture in (
            ("train", 0, 0),
            ("val", 3, 1),
            ("val", 1, 2),
            ("test", 4, 0),
            ("test", 2, 0),
        )
    ]
    assert len({sample.group for sample in samples}) == len(kept)
    assert samples[1].fault == f"the tweet is {root / ALL.format('train')}, line 2 too"
