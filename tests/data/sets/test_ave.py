import csv
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from fdkd_lightning.data.dataset import PairedDataset
from fdkd_lightning.data.preparation.recipe import ArrayRecipe
from fdkd_lightning.data.sets.ave import AVE, AVEFirstEvents, AVEWithoutLeaks
from fdkd_lightning.study.plan import method_runs, read_study, teacher_runs
from fdkd_lightning.study.planned_run import is_config

Write = Callable[..., Path]
CONFIGS = Path(__file__).parents[3] / "configs"
KINDS = (AVE, AVEWithoutLeaks, AVEFirstEvents)
# Times are a tenth of the published ones: the clips last one second.
LISTS = {
    "trainSet.txt": [
        "Bus&bus_1&good&0&1",
        "Frying (food)&-fry1&good&0.5&1",
        "Bus&bus_2&good&0&0.5",
        "Church bell&bell_0&good&0&0",  # as VWi2ENBuTbw: it ends where it begins
        "Bus&bus_1&good&0&1",  # once more
        "Male speech, man speaking&two_1&good&0.2&0.6",  # a video with two events
        "Bus&two_1&good&0.5&1",
        "Banjo&in_val&good&0&1",
        "Male speech, man speaking&in_test&good&0&0.4",
    ],
    "valSet.txt": ["Mandolin&in_val&good&0&1", "Banjo&in_val&good&0&1", "Bus&bus_3&good&0&1"],
    "testSet.txt": [
        "Female speech, woman speaking&in_test&good&0&0.4",
        "Bus&bus_4&good&0&1",
        "Frying (food)&-fry2&good&0&1",
    ],
}
VIDEOS = (
    "bus_1",
    "bus_2",
    "bus_3",
    "bus_4",
    "-fry1",
    "-fry2",
    "two_1",
    "in_val",
    "in_test",
    "bell_0",
)


def write_lists(root: Path, lists: dict[str, list[str]] = LISTS, header: str = "") -> None:
    root.mkdir(exist_ok=True)
    for name, lines in lists.items():
        (root / name).write_text("\n".join([*([header] if header else []), *lines]) + "\n")


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory, write_clip: Write) -> Path:
    """The authors' layout, with each defect of their lists; encoded once."""
    folder = tmp_path_factory.mktemp("ave") / "AVE_Dataset"
    for video in VIDEOS:
        write_clip(folder / f"AVE/{video}.mp4", seconds=1)
    write_lists(folder)
    return folder


@pytest.fixture
def root(tmp_path: Path, encoded: Path) -> Path:
    """A copy of that folder."""
    return Path(shutil.copytree(encoded, tmp_path / encoded.name))


def ave(root: Path, kind: type[AVE] = AVE, **arguments: Any) -> AVE:
    settings = {"min_coverage": 0.3} | arguments
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        data = kind(root, **settings)
        _ = data.samples
    return data


def dataset(data: AVE, split: str) -> PairedDataset:
    made = data.make_dataset(split)
    assert isinstance(made, PairedDataset)
    return made


def usable(data: AVE, split: str) -> list[str]:
    return [s.id.split(":", 1)[1] for s in data.samples if s.split == split and not s.fault]


def faults(data: AVE) -> dict[str, str]:
    """List and line -> the reason for the exclusion."""
    return {s.where.removeprefix(f"{data.root}/"): s.fault for s in data.samples if s.fault}


def test_a_row_is_a_sample_with_its_segment(root: Path) -> None:
    samples = ave(root).samples
    assert len(samples) == 15
    first, second = samples[:2]
    assert (first.split, first.label) == ("train", "Bus")
    assert first.sources == {"audio": "AVE/bus_1.mp4", "visual": "AVE/bus_1.mp4"}
    assert (second.start, second.duration, second.label) == (0.5, 0.5, "Frying (food)")
    assert len({sample.id for sample in samples}) == 15
    assert usable(ave(root), "train") == [
        "bus_1:0-1:Bus",
        "-fry1:0.5-1:Frying (food)",
        "bus_2:0-0.5:Bus",
        "two_1:0.2-0.6:Male speech, man speaking",
        "two_1:0.5-1:Bus",
        "in_val:0-1:Banjo",
        "in_test:0-0.4:Male speech, man speaking",
    ]


def test_the_classes_are_the_published_28_in_alphabetical_order() -> None:
    assert AVE.class_names == tuple(sorted(set(AVE.class_names)))
    assert len(AVE.class_names) == 28


@pytest.mark.parametrize(
    "header",
    [
        "Category&VideoID&Quality&StartTime&EndTime",
        "\ufeffCategory&VideoID&Quality&StartTime&EndTime",
    ],
)
def test_a_header_line_is_skipped(root: Path, header: str) -> None:
    plain = ave(root).samples
    write_lists(root, header=header)
    with_header = ave(root).samples
    assert [s[1:7] for s in with_header] == [s[1:7] for s in plain]
    assert with_header[0].where == f"{root}/trainSet.txt, line 2"


def test_defects_of_the_published_lists_are_excluded_with_the_reason(root: Path) -> None:
    data = ave(root)
    known = {
        "trainSet.txt, line 4": "the event begins at 0 s and ends at 0 s",
        "trainSet.txt, line 5": "the same row is trainSet.txt, line 1",
    }
    assert faults(data) == known
    report = data.prepare()
    with report.manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    refused = {row["id"]: row["reason"] for row in rows if row["status"] == "refused"}
    assert sorted(refused.values()) == sorted(known.values())
    assert report.found("train") == 7
    assert report.expected("train") == 9
    assert len(dataset(data, "train")) == 7


def test_a_video_in_two_splits_is_kept_with_a_warning_or_left_out_of_training(root: Path) -> None:
    with pytest.warns(UserWarning, match=r"^2 rows .*AVEWithoutLeaks"):
        assert len(usable(AVE(root), "train")) == 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clean = AVEWithoutLeaks(root)
        leaked = set(usable(ave(root), "train")) - set(usable(clean, "train"))
    assert leaked == {"in_val:0-1:Banjo", "in_test:0-0.4:Male speech, man speaking"}
    assert faults(clean)["trainSet.txt, line 8"] == "its video is in valSet.txt, line 1 too"
    assert faults(clean)["trainSet.txt, line 9"] == "its video is in testSet.txt, line 1 too"
    for split in ("val", "test"):
        assert usable(clean, split) == usable(ave(root), split)
    videos = [
        {name.split(":")[0] for name in usable(clean, split)} for split in ("train", "val", "test")
    ]
    assert len(set.union(*videos)) == sum(map(len, videos))


def test_the_first_event_of_a_video_alone_is_c2kds_reading(root: Path) -> None:
    data = ave(root, AVEFirstEvents)
    assert usable(data, "train") == [
        "bus_1:0-1:Bus",
        "-fry1:0.5-1:Frying (food)",
        "bus_2:0-0.5:Bus",
        "two_1:0.2-0.6:Male speech, man speaking",
        "in_val:0-1:Banjo",
        "in_test:0-0.4:Male speech, man speaking",
    ]
    assert usable(data, "val") == ["in_val:0-1:Mandolin", "bus_3:0-1:Bus"]
    assert (
        faults(data)["trainSet.txt, line 7"] == "another event of the video is trainSet.txt, line 6"
    )


def test_all_kinds_share_what_is_decoded_and_number_samples_alike(root: Path) -> None:
    decoded = [ave(root, kind).prepare().decoded for kind in KINDS]
    assert decoded[0] > 0
    assert decoded[1:] == [0, 0]
    number = [
        {sample.where: (i, sample.id) for i, sample in enumerate(ave(root, kind).samples)}
        for kind in KINDS
    ]
    assert number[0] == number[1] == number[2]


def test_sound_and_frames_are_those_of_the_event(root: Path) -> None:
    data = ave(root, batch_size=8)
    data.prepare_data()
    samples = {s.id.split(":", 1)[1]: i for i, s in enumerate(data.samples)}
    train = dataset(data, "train")
    position = {index: i for i, index in enumerate(train.index.tolist())}
    whole = train[position[samples["bus_1:0-1:Bus"]]]
    half = train[position[samples["-fry1:0.5-1:Frying (food)"]]]
    early = train[position[samples["bus_2:0-0.5:Bus"]]]
    assert abs(len(whole["audio"]) - 16_000) < 2000  # AAC pads
    assert abs(len(half["audio"]) - 8000) < 2000
    assert len(early["audio"]) == 8000
    # Frame i of a clip is of gray 6 i + 20, and there are ten.
    early_gray, whole_gray, half_gray = (float(s["visual"].mean()) for s in (early, whole, half))
    assert early_gray * 255 < 20 + 6 * 5
    assert early_gray < whole_gray < half_gray
    data.setup("test")
    batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    assert batch["audio"].shape == (3, 1, 257, 1004)
    assert batch["visual"].shape == (3, 1, 3, 224, 224)
    assert [data.class_names[k] for k in batch["label"]] == [
        "Female speech, woman speaking",
        "Bus",
        "Frying (food)",
    ]


def test_clips_that_are_gone_are_reported_and_left_out(root: Path) -> None:
    (root / "AVE/bus_2.mp4").unlink()
    content = (root / "AVE/-fry1.mp4").read_bytes()
    (root / "AVE/-fry1.mp4").write_bytes(content[: len(content) // 2])  # its index is at the end
    data = ave(root)
    report = data.prepare()
    assert report.statuses["train"] == {"ok": 5, "missing": 1, "truncated": 1, "refused": 2}
    assert len(dataset(data, "train")) == 5


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Buss&bus_3&good&0&1", "label 'Buss' is none of the 28 classes"),
        ("Bus&../bus_3&good&0&1", "leaves the root"),
    ],
)
def test_a_row_of_another_form_is_refused_with_file_and_line(
    root: Path, row: str, message: str
) -> None:
    write_lists(root, LISTS | {"valSet.txt": [LISTS["valSet.txt"][0], row]})
    with pytest.raises(ValueError, match=rf"valSet.txt, line 2: .*{message}"):
        ave(root).prepare_data()


@pytest.mark.filterwarnings("ignore:.*AVEWithoutLeaks")
def test_a_shipped_teacher_and_its_student_train_and_are_tested(
    root: Path,
    fdkd: Callable[..., str],
    fit: Callable[..., dict[str, Tensor]],
    small: Callable[..., list[str]],
) -> None:
    partial = "min_coverage=0.5"
    prepared = fdkd("prepare", "AVE", f"--root={root}", f"--{partial}")
    assert "train: 7 of 9" in prepared
    for config, channels in ("unimodal_audio", 1), ("distill_visual", 3):
        arguments = small(f"ave/{config}", root, "--data.batch_size=4", f"--data.{partial}")
        weights = fit(f"ave/{config}", *arguments)
        assert weights["model.net.conv1.weight"].shape[1] == channels
    assert "test/accuracy" in fdkd("test", *arguments)


def test_the_column_of_table_1_names_what_is_there() -> None:
    study = read_study(CONFIGS / "ave/table1.yaml")
    assert (study.seeds, study.epoch) == ([0, 1, 2, 3, 4], "best")
    runs = [*teacher_runs(study).values(), *method_runs(study)]
    assert len(runs) == 200
    named = {arg for run in runs for arg in run.args if is_config(arg)}
    assert all((CONFIGS.parent / path).is_file() for path in named)
    assert {path for path in named if "/ave/" in path} == {
        f"configs/ave/{role}_{modality}.yaml"
        for role in ("unimodal", "distill")
        for modality in ("audio", "visual")
    }


@pytest.fixture
def extracted(root: Path, write_picture: Write) -> Path:
    """What C2KD's users share: frames and spectrograms of one event of each video."""
    shutil.rmtree(root / "AVE")
    (root / "Audio-1004-SE").mkdir()
    for i, video in enumerate(VIDEOS):
        write_picture(root / f"Image-01-FPS-SE/{video}/00001.jpg", color=(20 * i, 0, 0))
        content = pickle.dumps(np.full((4, 6), float(i)))
        (root / f"Audio-1004-SE/{video}.pkl").write_bytes(content)
    return root


def test_extracted_frames_and_spectrograms_are_read(extracted: Path) -> None:
    arguments = {
        "recipes": {"audio": ArrayRecipe((1, 4, 6))},
        "transforms": {"audio": nn.Identity(), "visual": nn.Identity()},
    }
    data = ave(extracted, **arguments)
    data.prepare_data()
    data.setup("test")
    batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    numbers = [VIDEOS.index(video) for video in ("in_test", "bus_4", "-fry2")]
    assert batch["audio"].shape == (3, 1, 4, 6)
    assert batch["audio"].mean((1, 2, 3)).tolist() == numbers
    reds = batch["visual"][:, 0, 0].mean((1, 2)) * 255 / 20
    assert reds.round().tolist() == numbers
    # The files of a video with two events hold one of them.
    faults = [s.fault for s in data.samples if s.group == "" and ":two_1:" in s.id]
    assert faults == ["", "another event of the video is trainSet.txt, line 6"]


def test_pickles_are_named_where_no_recipe_reads_them(extracted: Path) -> None:
    with pytest.raises(ValueError, match=r"Audio-1004-SE holds pickles .*recipes.audio to ArrayR"):
        ave(extracted)
    data = ave(extracted, modalities=["visual"], min_coverage=0.8)
    data.prepare_data()
    assert len(dataset(data, "test")) == 3


def test_a_root_that_is_a_level_off_names_the_one_that_fits(root: Path) -> None:
    for given in (root / "AVE", root.parent, root.parent / "ave"):
        with pytest.raises(FileNotFoundError, match=rf"holds trainSet.txt: set root to {root}"):
            ave(given)
