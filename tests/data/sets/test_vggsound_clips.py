from pathlib import Path

import pytest

from fdkd_lightning.data.sets.vggsound_clips import Clip, check_labels, faults_of, read_list


def clip(video: str, start: int, split: str, place: str, label: str = "dog barking") -> Clip:
    return Clip(video, start, label, split, place)


def test_a_list_is_read_with_its_places(tmp_path: Path) -> None:
    path = tmp_path / "vggsound.csv"
    path.write_text('\ufeffabc,000030,"bird chirping, tweeting",test\n\nxyz,7,dog barking,train\n')
    assert list(read_list(path)) == [
        Clip("abc", 30, "bird chirping, tweeting", "test", "vggsound.csv, line 1"),
        Clip("xyz", 7, "dog barking", "train", "vggsound.csv, line 3"),
    ]


@pytest.mark.parametrize("row", ["abc,30,dog barking", "abc,30,dog barking,test"])
def test_a_given_split_replaces_that_of_the_rows(tmp_path: Path, row: str) -> None:
    (tmp_path / "tiny.csv").write_text(row)
    (found,) = read_list(tmp_path / "tiny.csv", "train")
    assert (found.split, found.name) == ("train", "abc_000030")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("id,start,label,split", r"start 'start' is not a whole number .* no header"),
        ("abc,3.5,dog barking,train", "start '3.5' is not a whole number"),
        ("abc,-3,dog barking,train", "start '-3' is not a whole number"),
        ("abc,3,dog barking", "expected id,start,label,split, got 'abc,3,dog barking'"),
    ],
)
def test_a_row_of_another_form_is_an_error(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "vggsound.csv").write_text(f"abc,3,dog barking,train\n{row}\n")
    with pytest.raises(ValueError, match=f"vggsound.csv, line 2: {message}"):
        list(read_list(tmp_path / "vggsound.csv"))


def test_a_label_of_one_split_is_an_error() -> None:
    clips = [clip("a", 0, "train", "line 1"), clip("b", 0, "test", "line 2")]
    check_labels(Path("root"), clips)
    with pytest.raises(ValueError, match=r"line 3: label 'dog barkin' occurs only in the train"):
        check_labels(Path("root"), [*clips, clip("c", 0, "train", "line 3", "dog barkin")])


def test_repeated_clips_and_test_videos_in_training_are_faults() -> None:
    clips = [
        clip("a", 0, "train", "1"),
        clip("a", 5, "train", "2"),
        clip("a", 0, "train", "3"),
        clip("b", 0, "train", "4"),
        clip("b", 9, "test", "5"),
    ]
    assert faults_of(clips) == {
        "3": "the same clip is 1",
        "4": "its video is also in the test split: 5",
    }
