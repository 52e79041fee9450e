from collections.abc import Callable
from pathlib import Path

import pytest

from fdkd_lightning.data.sets.kinetics_sounds import KineticsSounds

Write = Callable[..., Path]
# As in OGM-GE's lists: those of training name start and end, those of the test the start alone.
TRAIN = [f"video_{i}_abc{i}_{i:06d}_{i + 10:06d},10,{30 - i}" for i in range(6)]
TEST = [f"-video_{i}_{7 * i},10,{i}" for i in range(3)]


def write_lists(folder: Path, train: list[str] = TRAIN, test: list[str] = TEST) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "my_train.txt").write_text("\n".join(train))
    (folder / "my_test.txt").write_text("\n".join(test))


def test_the_lists_name_clips_and_classes(tmp_path: Path) -> None:
    write_lists(tmp_path / "data/KineticSound")
    data = KineticsSounds(tmp_path, val_fraction=0.2)
    assert [sample.id for sample in data.samples] == [
        *(f"video_{i}_abc{i}_{i}" for i in range(6)),
        *(f"-video_{i}_{7 * i}" for i in range(3)),
    ]
    assert [sample.label for sample in data.samples] == [
        *("30", "29", "28", "27", "26", "25"),
        *("0", "1", "2"),
    ]
    assert sum(sample.split == "val" for sample in data.samples) == 2
    assert data.samples[7].where.endswith("data/KineticSound/my_test.txt, line 2")
    assert data.samples[7].sources["visual"] == "video/-video_1_7.mp4"  # missing


def test_lists_of_names_and_numbers_are_read(tmp_path: Path) -> None:
    for split, rows in (("train", TRAIN), ("test", TEST)):
        lines = (row.split(",") for row in rows)
        text = "\n".join(f"{split}/{name}.mp4 {label}" for name, _, label in lines)
        (tmp_path / f"ks_{split}_overlap.txt").write_text(text)
    found = KineticsSounds(tmp_path).read_samples()
    write_lists(tmp_path)
    expected = KineticsSounds(tmp_path).read_samples()
    assert [s._replace(where="") for s in found] == [s._replace(where="") for s in expected]


def test_files_are_found_in_each_layout(
    tmp_path: Path, write_clip: Write, write_picture: Write, write_wav: Write
) -> None:
    write_lists(tmp_path)
    name = "-video_1_000007_000017"
    write_clip(tmp_path / f"val/playing drums/{name}.mp4", seconds=0.5, rate=16_000)
    write_picture(tmp_path / "val-frames-1fps/test/-video_2_14/00001.jpg")
    write_wav(tmp_path / "test_wav/test/-video_2_14.wav", 0.1, 16_000)
    write_wav(tmp_path / "audio/-video_0_0.wav", 0.1, 16_000)
    data = KineticsSounds(tmp_path, min_coverage=0)
    sources = {sample.id: sample.sources for sample in data.samples}
    drums = f"val/playing drums/{name}.mp4"
    assert sources["-video_1_7"] == {"audio": drums, "visual": drums}
    assert sources["-video_2_14"] == {
        "audio": "test_wav/test/-video_2_14.wav",
        "visual": "val-frames-1fps/test/-video_2_14",
    }
    data.prepare_data()
    made = data.make_dataset("test")
    assert made.label.tolist() == [1, 2]
    assert made[0]["visual"].shape == (3, 3, 224, 224)


def test_leaks_and_repetitions_are_excluded(tmp_path: Path) -> None:
    write_lists(tmp_path, [*TRAIN, "-video_1_000030_000040,10,4"], [*TEST, TEST[0]])
    faults = [sample.fault for sample in KineticsSounds(tmp_path).read_samples()]
    assert faults[6] == "its video is also in the test split: my_test.txt, line 2"
    assert faults[-1] == "the same clip is my_test.txt, line 1"
    assert not any(faults[:6])


@pytest.mark.parametrize("row", ["x", "x,10,1", "x_1,10", "x_1,10,dog", "x_1,10,1,2", "x_1 100"])
def test_a_row_of_another_form_is_named(tmp_path: Path, row: str) -> None:
    write_lists(tmp_path, test=[*TEST, row])
    with pytest.raises(ValueError, match=r"my_test.txt, line 4: expected name,seconds,class"):
        KineticsSounds(tmp_path).read_samples()


def test_a_class_beyond_the_31_is_named(tmp_path: Path) -> None:
    write_lists(tmp_path, test=[*TEST, "x_1,10,31"])
    with pytest.raises(ValueError, match=r"my_test.txt, line 4: label '31' is none of the 31"):
        _ = KineticsSounds(tmp_path).samples
