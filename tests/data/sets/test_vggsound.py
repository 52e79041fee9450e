import csv
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from fdkd_lightning.data.preparation.coverage import CoverageError
from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.sets.vggsound import VGGSound, VGGSound50, VGGSoundC2KD

Write = Callable[..., Path]
Row = tuple[str, ...]
CONFIGS = Path(__file__).parents[3] / "configs"
LABELS = ("dog barking", "bird chirping, tweeting")


def video(number: int) -> str:
    """Eleven characters, as YouTube's; many begin with a hyphen."""
    return f"{'-' if number % 2 else 'A'}video{number:05d}"


def row(number: int, split: str, start: str | None = None) -> Row:
    return (video(number), str(7 * number) if start is None else start, LABELS[number % 2], split)


ROWS = [*(row(i, "train") for i in range(20)), *(row(i, "test") for i in range(20, 24))]


def write_list(path: Path, rows: Iterable[Row], encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows(rows)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory, write_clip: Write) -> Path:
    """The authors' layout; encoded once."""
    folder = tmp_path_factory.mktemp("vggsound") / "VGGSound"
    for name, start, _, _ in ROWS:
        write_clip(folder / f"video/{name}_{int(start):06d}.mp4", seconds=0.5, rate=16_000)
    write_list(folder / "vggsound.csv", ROWS)
    return folder


@pytest.fixture
def root(tmp_path: Path, encoded: Path) -> Path:
    """A copy of that folder."""
    return Path(shutil.copytree(encoded, tmp_path / encoded.name))


def vggsound(root: Path, kind: type[VGGSound] = VGGSound, **arguments: Any) -> VGGSound:
    return kind(root, **{"min_coverage": 0.5} | arguments)


def manifest(data: VGGSound) -> dict[str, dict[str, str]]:
    with data.prepare().manifest.open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def ids(samples: Iterable[Sample], split: str) -> list[str]:
    return [sample.id for sample in samples if sample.split == split]


def test_files_are_named_by_the_start_with_six_digits(root: Path) -> None:
    data = vggsound(root)
    found = manifest(data)
    assert {cells["status"] for cells in found.values()} == {"ok"}
    assert list(found)[:2] == ["Avideo00000_000000", "-video00001_000007"]
    assert found["-video00021_000147"]["split"] == "test"
    # What stands in the list may be padded itself.
    write_list(root / "vggsound.csv", [(*r[:1], r[1].zfill(6), *r[2:]) for r in ROWS])
    assert vggsound(root).samples == data.samples


def test_a_label_may_hold_commas_and_the_list_a_byte_order_mark(root: Path) -> None:
    write_list(root / "vggsound.csv", ROWS, encoding="utf-8-sig")
    with (root / "vggsound.csv").open("a") as file:
        file.write("\n")
    data = vggsound(root)
    assert data.class_names == ("bird chirping, tweeting", "dog barking")
    assert data.samples[0].id == "Avideo00000_000000"


def test_a_batch_has_the_published_shapes(root: Path, write_clip: Write) -> None:
    # Three seconds: a frame is kept at 0, 1 and 2, of gray 20, 80 and 140.
    write_clip(root / "video/Avideo00020_000140.mp4", seconds=3, rate=16_000)
    data = vggsound(root, batch_size=4)
    data.prepare_data()
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    assert batch["audio"].shape == (4, 160_000)
    assert batch["visual"].shape == (4, 3, 3, 224, 224)
    grays = batch["visual"][0].mean((1, 2, 3)) * 255
    assert grays.tolist() == pytest.approx([20, 80, 140], abs=3)
    assert batch["label"].tolist() == [1, 0, 1, 0]
    # The sound is repeated, not filled up with silence.
    assert all(clip[-8000:].abs().max() > 0.3 for clip in batch["audio"])
    batch = data.on_after_batch_transfer(batch, 0)
    assert batch["audio"].shape == (4, 1, 129, 626)
    # The published codes draw their five seconds in tests too; here a test gives one score.
    sound = torch.randn(2, 160_000)
    transform = data.transforms["audio"].eval()
    assert torch.equal(transform(sound), transform(sound))
    assert batch["visual"][0, 0].mean() < -1  # dark, in deviations of ImageNet


def test_a_clip_that_youtube_lost_is_recorded_as_missing(root: Path) -> None:
    for path in sorted((root / "video").glob("*.mp4"))[:6]:
        path.unlink()
    with pytest.raises(CoverageError, match="lower min_coverage"):
        vggsound(root, min_coverage=0.9).prepare_data()
    data = vggsound(root)
    lost = [name for name, cells in manifest(data).items() if cells["status"] == "missing"]
    assert len(lost) == 6
    assert sum(len(data.make_dataset(split)) for split in ("train", "val", "test")) == 18


def test_sound_comes_from_the_folder_audio_where_there_is_one(
    root: Path, write_wav: Write, write_clip: Write
) -> None:
    silent = root / "video/Avideo00000_000000.mp4"
    silent.unlink()
    write_clip(silent, seconds=0.5, audio=False)
    assert manifest(vggsound(root))["Avideo00000_000000"]["status"] == "no-stream"
    for name, start, _, _ in ROWS[:-1]:
        write_wav(root / f"audio/{name}_{int(start):06d}.wav", 0.5, rate=16_000)
    found = manifest(vggsound(root))
    assert found["Avideo00000_000000"]["status"] == "ok"
    assert found["-video00023_000161"]["reason"].startswith("audio audio/-video00023_000161.wav")


def test_a_clip_of_two_frames_is_kept(root: Path, write_clip: Write) -> None:
    write_clip(root / "video/Avideo00020_000140.mp4", seconds=0.2, rate=16_000)
    data = vggsound(root, modalities=["visual"])
    assert manifest(data)["Avideo00020_000140"]["status"] == "ok"
    assert data.make_dataset("test")[0]["visual"].shape == (3, 3, 224, 224)


def test_a_clip_counts_once_and_no_video_is_in_training_and_test(root: Path) -> None:
    more = [
        ROWS[0],  # line 25: the same row again
        (*ROWS[1][:2], LABELS[0], "train"),  # line 26: the same clip, with another label
        row(2, "train", "99"),  # line 27: another clip of a training video
        row(20, "train"),  # line 28: a test clip in training
        row(21, "train", "5"),  # line 29: another clip of a test video
        ROWS[22],  # line 30: a test row again
    ]
    write_list(root / "vggsound.csv", [*ROWS, *more])
    data = vggsound(root)
    refused = {s.where.split("line ")[1]: s.fault for s in data.samples if s.fault}
    assert refused == {
        "25": "the same clip is vggsound.csv, line 1",
        "26": "the same clip is vggsound.csv, line 2",
        "28": "its video is also in the test split: vggsound.csv, line 21",
        "29": "its video is also in the test split: vggsound.csv, line 22",
        "30": "the same clip is vggsound.csv, line 23",
    }
    kept = [sample for sample in data.samples if not sample.fault]
    assert len(ids(kept, "test")) == 4
    assert len(ids(kept, "train")) + len(ids(kept, "val")) == 21
    found = manifest(data)
    assert [cells["status"] for cells in found.values()].count("refused") == 5
    assert found["-video00001_000007"]["label"] == LABELS[1]


def test_a_sample_is_placed_in_the_folder_of_the_lists(root: Path, tmp_path: Path) -> None:
    (root / "vggsound.csv").rename(tmp_path / "vggsound.csv")
    first = vggsound(root, lists=tmp_path).samples[0]
    assert first.where == f"{tmp_path / 'vggsound.csv'}, line 1"


def test_a_tenth_of_the_videos_is_validation_whatever_the_lists_order(root: Path) -> None:
    clips = [*ROWS, *(row(i, "train", str(200 + i)) for i in range(20))]
    write_list(root / "vggsound.csv", clips)
    samples = vggsound(root).samples
    val = ids(samples, "val")
    assert len(val) == 4
    # Both clips of a video, together.
    assert len({name[:11] for name in val}) == 2
    assert not {name[:11] for name in val} & {name[:11] for name in ids(samples, "train")}
    random.Random(0).shuffle(clips)
    write_list(root / "vggsound.csv", clips)
    assert set(ids(vggsound(root).samples, "val")) == set(val)
    assert set(ids(vggsound(root, split_seed=1).samples, "val")) != set(val)


def many_classes(classes: Iterable[int]) -> list[Row]:
    splits = ("train", "train", "test")
    return [
        (f"v{k:03d}_{i:06d}", "30", f"class {k}, sound", split)
        for k in classes
        for i, split in enumerate(splits)
    ]


def test_fifty_classes_are_drawn_by_name_alone(tmp_path: Path) -> None:
    write_list(tmp_path / "vggsound.csv", many_classes(range(309)))
    assert vggsound(tmp_path).num_classes == 309
    data = vggsound(tmp_path, VGGSound50)
    assert data.num_classes == 50
    assert len(data.samples) == 150  # all their clips
    assert len(ids(data.samples, "test")) == 50
    numbers = [int(name.split(",")[0].split()[1]) for name in data.class_names]
    assert 15 < sum(number < 155 for number in numbers) < 35  # from all over the list
    write_list(tmp_path / "vggsound.csv", reversed(many_classes(range(309))))
    assert vggsound(tmp_path, VGGSound50).class_names == data.class_names
    # Those that were drawn are drawn from fewer, too.
    fewer = {*numbers[:40], *range(100, 120)}
    write_list(tmp_path / "vggsound.csv", many_classes(sorted(fewer)))
    still = {f"class {number}, sound" for number in numbers[:40]}
    assert still <= set(vggsound(tmp_path, VGGSound50).class_names)


def test_c2kds_lists_are_read_without_the_official_one(root: Path) -> None:
    (root / "vggsound.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"vggsound.csv is missing: .*hche11/VGGSound"):
        vggsound(root).prepare_data()
    message = r"train_tiny.csv is missing: .*datasplit.zip.*huofushuo/C2KD.*VGGSound50"
    with pytest.raises(FileNotFoundError, match=message):
        vggsound(root, VGGSoundC2KD).prepare_data()
    write_list(root / "train_tiny.csv", [r[:3] for r in ROWS[:20]])
    # A fourth cell may stand there; which list it is says the split.
    write_list(root / "test_tiny.csv", ROWS[20:])
    data = vggsound(root, VGGSoundC2KD)
    assert ids(data.samples, "test") == [f"{r[0]}_{int(r[1]):06d}" for r in ROWS[20:]]
    assert len(ids(data.samples, "train")) == 18
    assert {cells["status"] for cells in manifest(data).values()} == {"ok"}


def test_a_row_of_another_form_is_refused_with_file_and_line(root: Path) -> None:
    for bad, message in (
        ((video(3), "3", LABELS[0], "dev"), "split 'dev' is none of"),
        (("../../etc/x", "3", LABELS[0], "train"), "audio .* leaves the root"),
        (
            (video(3), "3", "dog barkin", "train"),
            "label 'dog barkin' occurs only in the train split",
        ),
    ):
        write_list(root / "vggsound.csv", [*ROWS[:2], bad, *ROWS[2:]])
        with pytest.raises(ValueError, match=f"vggsound.csv, line 3: {message}"):
            vggsound(root).prepare_data()


def tiny(in_chans: int) -> dict[str, Any]:
    arguments = {"num_classes": 2, "in_chans": in_chans, "layers": [1, 1, 1, 1]}
    return {
        "class_path": "fdkd_lightning.models.ResNet",
        "init_args": arguments | {"channels": [4, 4, 8, 8]},
    }


def shipped(config: str, root: Path, folder: Path) -> list[str]:
    """Arguments that make a shipped configuration train in seconds."""
    networks = {"audio": tiny(1), "visual": tiny(3)}
    role, modality = config.split("_")
    model: dict[str, Any] = {"model": networks[modality]}
    if role == "distill":
        other = "visual" if modality == "audio" else "audio"
        checkpoint = f"runs/vggsound/unimodal_{other}/checkpoints/best.ckpt"
        arguments = {"model": networks[other], "checkpoint": checkpoint}
        teacher = {"class_path": "fdkd_lightning.PretrainedModel", "init_args": arguments}
        model = {"student": networks[modality], "teachers": {other: teacher}}
    trainer = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "limit_train_batches": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    frames = {
        "class_path": "fdkd_lightning.data.FramesRecipe",
        "init_args": {"count": 3, "size": 32},
    }
    data = {
        "root": str(root),
        "batch_size": 6,
        "num_workers": 0,
        "recipes": {"visual": frames},
    }
    content = {"trainer": trainer, "model": {"init_args": model}, "data": {"init_args": data}}
    path = folder / f"{config}.yaml"
    path.write_text(yaml.safe_dump(content))
    return [f"--config={CONFIGS / 'vggsound' / config}.yaml", f"--config={path}"]


def test_a_shipped_teacher_and_its_student_train_and_are_tested(
    root: Path, tmp_path: Path, fdkd: Callable[..., str], fit: Callable[..., dict[str, Tensor]]
) -> None:
    (root / "vggsound.csv").unlink()
    write_list(root / "train_tiny.csv", [r[:3] for r in ROWS[:20]])
    write_list(root / "test_tiny.csv", [r[:3] for r in ROWS[20:]])
    prepared = fdkd("prepare", "VGGSoundC2KD", f"--root={root}")
    assert "train: 18 of 18" in prepared
    for config in ("unimodal_audio", "distill_visual"):
        arguments = shipped(config, root, tmp_path)
        fit(f"vggsound/{config}", *arguments)
    assert "test/accuracy" in fdkd("test", *arguments)


def test_other_classes_are_one_argument_away(
    root: Path, tmp_path: Path, fdkd: Callable[..., str]
) -> None:
    other = "--data=fdkd_lightning.data.VGGSound50"
    fdkd("fit", *shipped("unimodal_audio", root, tmp_path), other)
    run = Path("runs/vggsound/unimodal_audio/logs/version_0/config.yaml")
    used = yaml.safe_load(run.read_text())["data"]
    assert used["class_path"].endswith("VGGSound50")
    assert used["init_args"]["root"] == str(root)
    assert used["init_args"]["batch_size"] == 6


def test_frames_and_sounds_of_published_code_are_read(
    root: Path, write_picture: Write, write_wav: Write
) -> None:
    shutil.rmtree(root / "video")
    for name, start, _, split in ROWS:
        clip = f"{name}_{int(start):06d}"
        for i in range(3):
            frames = root / f"{split}-videos/{split}-set-img/Image-01-FPS/{clip}.mp4"
            write_picture(frames / f"{30 * i:05d}.jpg", color=(100 * i, 0, 0))
        write_wav(root / f"{split}-audios/{split}-set/{clip}.wav", 0.1, 16_000)
    data = vggsound(root, min_coverage=1.0)
    data.prepare_data()
    sample = data.make_dataset("test")[0]
    assert (sample["visual"][:, 0].mean((1, 2)) * 255).tolist() == pytest.approx(
        [0, 100, 200], abs=3
    )
    assert sample["audio"].shape == (160_000,)


def test_archives_may_be_unpacked_as_they_are(root: Path) -> None:
    deep = root / "scratch/shared/beegfs/hchen/train_data/VGGSound_final"
    deep.mkdir(parents=True)
    (root / "video").rename(deep / "video")
    assert {cells["status"] for cells in manifest(vggsound(root)).values()} == {"ok"}
