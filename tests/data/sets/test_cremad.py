import csv
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from fdkd_lightning.data.dataset import PairedDataset
from fdkd_lightning.data.preparation.coverage import CoverageError
from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.sets.cremad import CREMAD, CREMADSpeakerIndependent
from fdkd_lightning.data.transforms.published_audio import MMParetoFbank, OGMCREMADSpectrogram
from fdkd_lightning.study.plan import method_runs, read_study, teacher_runs
from fdkd_lightning.study.planned_run import is_config

Write = Callable[..., Path]
CONFIGS = Path(__file__).parents[3] / "configs"
EMOTIONS = ("NEU", "HAP")


def names(actors: Iterable[int], emotions: Iterable[str] = EMOTIONS) -> list[str]:
    """One clip of each actor and emotion, named as the authors name them."""
    return [f"{actor}_IEO_{emotion}_XX" for actor in actors for emotion in emotions]


def write_list(path: Path, clips: Iterable[str], encoding: str = "utf-8") -> None:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows([clip, clip.split("_")[2]] for clip in clips)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory, write_clip: Write, write_wav: Write) -> Path:
    """The authors' layout: ten actors, two emotions; two actors are the test list; encoded once."""
    folder = tmp_path_factory.mktemp("cremad") / "CREMA-D"
    for number, clip in enumerate(names(range(1001, 1011))):
        write_wav(folder / f"AudioWAV/{clip}.wav", 0.5 + number / 50, rate=16_000)
        write_clip(folder / f"VideoFlash/{clip}.flv", seconds=0.5)
    write_list(folder / "train.csv", names(range(1001, 1009)))
    write_list(folder / "test.csv", names((1009, 1010)))
    return folder


@pytest.fixture
def root(tmp_path: Path, encoded: Path) -> Path:
    """A copy of that folder."""
    return Path(shutil.copytree(encoded, tmp_path / encoded.name))


def cremad(root: Path, kind: type[CREMAD] = CREMAD, **arguments: Any) -> CREMAD:
    return kind(root, **{"min_coverage": 0.5} | arguments)


def dataset(data: CREMAD, split: str) -> PairedDataset:
    made = data.make_dataset(split)
    assert isinstance(made, PairedDataset)
    return made


def ids(samples: Iterable[Sample], split: str) -> list[str]:
    return [sample.id for sample in samples if sample.split == split]


def broken(root: Path, path: str, size: int) -> None:
    """Only the first bytes are there."""
    content = (root / path).read_bytes()
    assert size < len(content) * 0.7
    (root / path).write_bytes(content[:size])


def rows(data: CREMAD) -> dict[str, dict[str, str]]:
    with data.prepare().manifest.open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_the_lists_become_splits_with_a_tenth_of_training_as_validation(root: Path) -> None:
    samples = cremad(root).samples
    assert ids(samples, "test") == names((1009, 1010))
    val = ids(samples, "val")
    assert len(val) == 2
    # One of each emotion: a tenth of eight, rounded.
    assert {name.split("_")[2] for name in val} == set(EMOTIONS)
    assert sorted(val + ids(samples, "train")) == sorted(names(range(1001, 1009)))
    assert ids(cremad(root).samples, "val") == val
    others = [ids(cremad(root, split_seed=seed).samples, "val") for seed in (1, 2, 3)]
    assert any(other != val for other in others)


def test_a_byte_order_mark_and_a_blank_line_are_no_names(root: Path) -> None:
    write_list(root / "train.csv", names(range(1001, 1009)), encoding="utf-8-sig")
    with (root / "test.csv").open("a") as file:
        file.write("\n")
    assert [sample.id for sample in cremad(root).samples] == names(range(1001, 1011))


def test_a_batch_has_the_reproductions_shapes_and_the_published_numbers(root: Path) -> None:
    data = cremad(root, batch_size=4)
    data.prepare_data()
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    # Whole clips at the original rate: what a tone of this length has.
    assert [len(clip) for clip in batch["audio"]] == [
        round(16_000 * (0.5 + i / 50)) for i in range(16, 20)
    ]
    assert batch["visual"].shape == (4, 1, 3, 224, 224)
    assert batch["label"].tolist() == [0, 1, 0, 1]
    batch = data.on_after_batch_transfer(batch, 0)
    assert batch["audio"].shape == (4, 1, 257, 1004)
    # Each clip is standardised, and the picture is no more from 0 to 1.
    assert batch["audio"].mean((1, 2, 3)).abs().max() < 1e-3
    assert batch["visual"].min() < 0
    assert CREMAD("absent").class_names.index("ANG") == 5


def test_other_published_spectrograms_are_a_transform_away(root: Path) -> None:
    for transform, shape in (
        (OGMCREMADSpectrogram(sample_rate=16_000), (4, 1, 257, 188)),
        (MMParetoFbank(sample_rate=16_000), (4, 1, 128, 1024)),
    ):
        data = cremad(root, batch_size=4, modalities=["audio"], transforms={"audio": transform})
        data.prepare_data()
        data.setup("test")
        batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
        assert batch["audio"].shape == shape
        assert batch["audio"].isfinite().all()


def test_broken_clips_are_left_out_with_the_reason(root: Path) -> None:
    first, second, third, fourth, fifth = names(range(1001, 1011))[:5]
    broken(root, f"AudioWAV/{first}.wav", 4000)
    broken(root, f"VideoFlash/{first}.flv", 2000)
    broken(root, f"VideoFlash/{second}.flv", 2000)
    (root / f"VideoFlash/{third}.flv").write_text("version https://git-lfs.github.com/spec/v1\n")
    (root / f"VideoFlash/{fourth}.flv").unlink()
    (root / f"VideoFlash/{fifth}.flv").write_bytes(b"no video at all, and 40 bytes of it....")
    data = cremad(root)
    found = rows(data)
    status = {name: found[name]["status"] for name in (first, second, third, fourth, fifth)}
    assert status == {
        first: "truncated",
        second: "truncated",
        third: "lfs-stub",
        fourth: "missing",
        fifth: "undecodable",
    }
    assert "AudioWAV" in found[first]["reason"]
    assert "VideoFlash" in found[first]["reason"]
    assert "git lfs pull" in found[third]["reason"]
    kept = [len(dataset(data, split)) for split in ("train", "val", "test")]
    assert sum(kept) == 15
    # Who needs no frames misses only what has no sound.
    audio = cremad(root, modalities=["audio"])
    audio.prepare_data()
    assert sum(len(dataset(audio, split)) for split in ("train", "val", "test")) == 19
    with pytest.raises(CoverageError, match="train"):
        cremad(root, min_coverage=0.9).prepare_data()


def test_clips_that_the_authors_list_as_bad_are_excluded_though_they_decode(
    root: Path, write_wav: Write, write_clip: Write
) -> None:
    bad = ("1076_MTI_SAD_XX", "1064_IEO_DIS_MD", "1064_TIE_SAD_XX", "1076_MTI_NEU_XX")
    for name in bad:
        write_wav(root / f"AudioWAV/{name}.wav", 0.3, 16_000)
        write_clip(root / f"VideoFlash/{name}.flv", seconds=0.5)
    with (root / "train.csv").open("a") as file:
        file.writelines(f"{name},{name.split('_')[2]}\n" for name in bad)
    data = cremad(root)
    found = rows(data)
    assert [found[name]["status"] for name in bad] == ["refused", "absent", "absent", "absent"]
    assert "bad in every medium" in found[bad[0]]["reason"]
    assert not any(found[name]["visual"] for name in bad)
    # Their sound is good.
    audio = cremad(root, modalities=["audio"])
    audio.prepare_data()
    assert sum(len(dataset(audio, split)) for split in ("train", "val", "test")) == 20 + 3
    assert sum(len(dataset(data, split)) for split in ("train", "val", "test")) == 20


def test_lists_that_contradict_themselves_are_refused_with_file_and_line(root: Path) -> None:
    content = (root / "train.csv").read_text()
    for old, new, message in (
        ("1002_IEO_NEU_XX", "1001_IEO_NEU_XX", "train.csv, line 3: id .* is that of .*line 1 too"),
        ("1002_IEO_NEU_XX,NEU", "1002_IEO_NEU_XX,SUR", "train.csv, line 3: label 'SUR' is none of"),
        ("1002_IEO_NEU_XX,NEU", "1002_IEO_NEU_XX", "train.csv, line 3: expected name,emotion, got"),
        ("1001_IEO_NEU_XX", "1009_IEO_NEU_XX", "test.csv, line 1: id .* is that of .*train.csv"),
        ("1002_IEO_NEU_XX", "../secret", "train.csv, line 3: audio .* leaves the root"),
    ):
        (root / "train.csv").write_text(content.replace(old, new))
        with pytest.raises(ValueError, match=message):
            cremad(root).prepare_data()


def test_an_absent_list_says_where_to_get_it(root: Path) -> None:
    (root / "test.csv").unlink()
    for kind in (CREMAD, CREMADSpeakerIndependent):
        with pytest.raises(FileNotFoundError, match=r"test.csv is missing: .*Modal-Imbalance-PMR"):
            cremad(root, kind).prepare_data()
    (root / "train.csv").unlink()
    with pytest.raises(FileNotFoundError, match="or use CREMADSpeakerIndependent"):
        cremad(root).prepare_data()
    with pytest.raises(FileNotFoundError, match="AudioWAV is missing"):
        cremad(root / "VideoFlash", CREMADSpeakerIndependent).prepare_data()


def actors(samples: Iterable[Sample], split: str) -> set[str]:
    return {name.split("_")[0] for name in ids(samples, split)}


def test_no_actor_is_in_two_splits_of_the_speaker_independent_set(tmp_path: Path) -> None:
    # As many actors as the whole set has, with fewer clips each.
    clips = [f"{actor}_{k:03d}_ANG_XX" for actor in range(1001, 1092) for k in range(10)]
    write_list(tmp_path / "train.csv", clips[1:])
    write_list(tmp_path / "test.csv", clips[:1])
    drawn = []
    for seed in (0, 0, 1):
        samples = cremad(tmp_path, CREMADSpeakerIndependent, split_seed=seed).samples
        splits = [actors(samples, split) for split in ("train", "val", "test")]
        assert len(set.union(*splits)) == sum(map(len, splits)) == 91
        shares = {
            split: count / len(clips) for split, count in Counter(s.split for s in samples).items()
        }
        assert shares == pytest.approx({"train": 0.8, "val": 0.1, "test": 0.1}, abs=0.02)
        drawn.append(splits)
    assert drawn[0] == drawn[1] != drawn[2]


def test_without_lists_the_speaker_independent_set_is_all_sound_files(root: Path) -> None:
    with_lists = cremad(root, CREMADSpeakerIndependent).samples
    (root / "train.csv").unlink()
    (root / "test.csv").unlink()
    samples = cremad(root, CREMADSpeakerIndependent).samples
    assert [s.id for s in samples] == sorted(s.id for s in with_lists)
    assert {s.id: (s.split, s.label) for s in samples} == {
        s.id: (s.split, s.label) for s in with_lists
    }
    (root / "AudioWAV/notes.wav").touch()
    with pytest.raises(ValueError, match=r"notes.wav: name is not actor_"):
        _ = cremad(root, CREMADSpeakerIndependent).samples


def test_a_shipped_teacher_and_its_student_train_and_are_tested(
    root: Path,
    fdkd: Callable[..., str],
    fit: Callable[..., dict[str, Tensor]],
    small: Callable[..., list[str]],
) -> None:
    prepared = fdkd("prepare", "CREMAD", f"--root={root}", "--prepare_workers=1")
    assert "train: 14 of 14" in prepared
    # The teacher with another published input, as the guide has it.
    other = "--data.transforms.audio=fdkd_lightning.data.OGMCREMADSpectrogram"
    its = [other, "--data.transforms.audio.sample_rate=16000"]
    for config, channels, more in ("unimodal_audio", 1, its), ("distill_visual", 3, []):
        arguments = small(f"cremad/{config}", root, "--data.batch_size=7", *more)
        weights = fit(f"cremad/{config}", *arguments)
        assert weights["model.net.conv1.weight"].shape[1] == channels
    assert "test/accuracy" in fdkd("test", *arguments)
    saved = Path("runs/cremad/unimodal_audio/logs/version_0/config.yaml").read_text()
    assert "OGMCREMADSpectrogram" in saved


def test_the_column_of_table_1_names_what_is_there() -> None:
    study = read_study(CONFIGS / "cremad/table1.yaml")
    assert (study.seeds, study.epoch) == ([0, 1, 2, 3, 4], "best")
    runs = [*teacher_runs(study).values(), *method_runs(study)]
    assert len(runs) == 200
    named = {arg for run in runs for arg in run.args if is_config(arg)}
    assert all((CONFIGS.parent / path).is_file() for path in named)
    assert {path for path in named if "/cremad/" in path} == {
        f"configs/cremad/{role}_{modality}.yaml"
        for role in ("unimodal", "distill")
        for modality in ("audio", "visual")
    }


@pytest.mark.parametrize("folder", ["Image-01-FPS", "visual"])
def test_extracted_frames_are_read_where_there_are_no_videos(
    root: Path, write_picture: Write, folder: str
) -> None:
    shutil.rmtree(root / "VideoFlash")
    for name in names(range(1001, 1011)):
        for i in range(3):
            write_picture(root / folder / name / f"frame_0000{i + 1}.jpg", color=(80 * i, 0, 0))
    data = cremad(root, min_coverage=1.0)
    data.prepare_data()
    red = dataset(data, "test")[0]["visual"][0, 0].mean() * 255
    assert float(red) == pytest.approx(80, abs=3)  # the middle one


def test_the_report_counts_what_is_trained_on(root: Path, write_wav: Write) -> None:
    """A clip without usable frames is not trained on: 6,024 of the published lists, not 6,027."""
    bad = ["1064_IEO_DIS_MD", "1076_MTI_NEU_XX"]
    write_list(root / "train.csv", [*names(range(1001, 1009)), *bad])
    for name in bad:
        write_wav(root / f"AudioWAV/{name}.wav", 0.5, rate=16_000)
    data = cremad(root, split_seed=1)
    report = data.prepare()
    trained = len(dataset(data, "train"))
    kept = len([name for name in bad if name in ids(data.samples, "train")])
    assert kept == 2
    assert str(report).splitlines()[0].startswith(f"train: {trained} of {trained + kept} samples (")
    assert "; without visual 2" in str(report)
    assert "'1064_IEO_DIS_MD' is left out: without visual" in str(report)
    assert cremad(root, split_seed=1, modalities=["audio"]).prepare(dry_run=True).lacking == {
        split: Counter() for split in ("train", "val", "test")
    }


def test_lists_may_lie_elsewhere(tmp_path: Path, root: Path) -> None:
    expected = cremad(root).samples
    (tmp_path / "lists").mkdir()
    for name in ("train.csv", "test.csv"):
        (root / name).rename(tmp_path / "lists" / name)
    found = cremad(root, lists=tmp_path / "lists").samples
    assert [s.sources for s in found] == [s.sources for s in expected]
    assert found[0].where == f"{tmp_path}/lists/train.csv, line 1"
    with pytest.raises(FileNotFoundError, match=r"CREMA-D/train.csv is missing"):
        _ = cremad(root).samples
    fits = rf"holds train.csv: set lists to {tmp_path / 'lists'}:"
    with pytest.raises(FileNotFoundError, match=fits):
        _ = cremad(root, lists=tmp_path / "lists/deeper").samples


@pytest.mark.parametrize("given", ["", "CREMA-D/AudioWAV", "crema-d"])
def test_a_root_that_is_a_level_off_names_the_one_that_fits(root: Path, given: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"holds train.csv: set root to {root}: put"):
        _ = cremad(root.parent / given).samples


def test_media_that_are_a_level_off_name_the_level_that_fits(tmp_path: Path, root: Path) -> None:
    for name in ("train.csv", "test.csv"):
        (root / name).rename(tmp_path / name)
    with pytest.raises(CoverageError, match=rf"AudioWAV/.*: set root to {root}"):
        cremad(tmp_path).prepare()


def test_a_list_of_another_encoding_is_named(root: Path) -> None:
    (root / "test.csv").write_bytes(b"a,NEU\n\xe4,SAD\n")
    with pytest.raises(ValueError, match=r"test.csv, line 2: byte 0xe4 is not UTF-8"):
        _ = cremad(root).samples
