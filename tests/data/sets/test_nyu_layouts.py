from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from fdkd_lightning.data.preparation.paths import find_file
from fdkd_lightning.data.preparation.sample import LABEL_MAP
from fdkd_lightning.data.sets.nyu_layouts import Layout, find_layout

Write = Callable[..., Any]


def layout_of(root: Path) -> Layout:
    return find_layout(root, lambda *names, advice: find_file(root, names, advice))


def test_the_official_layout_names_members_scenes_and_splits(
    tmp_path: Path, write_nyu: Write
) -> None:
    write_nyu(tmp_path, "labeled")
    layout = layout_of(tmp_path)
    assert layout.modalities == ("visual", "depth", "raw_depth")
    samples = layout.read()
    assert [sample.split for sample in samples] == 9 * ["train"] + 3 * ["test"]
    assert samples[4].id == "0005"
    assert samples[4].group == "scene_0001"
    assert samples[4].members == {
        "visual": "images/4",
        "depth": "depths/4",
        "raw_depth": "rawDepths/4",
        LABEL_MAP: "labels/4",
    }
    assert {*samples[4].sources.values()} == {"nyu_depth_v2_labeled.mat"}


@pytest.mark.parametrize("folder", ["", "NYUDepthv2"])
def test_cmxs_form_names_files(tmp_path: Path, write_nyu: Write, folder: str) -> None:
    write_nyu(tmp_path / folder, "unpacked")
    layout = layout_of(tmp_path)
    assert layout.modalities == ("visual", "hha")
    assert layout.classes[:2] == (-100, 0)
    assert len(layout.classes) == 41
    sample = layout.read()[10]
    assert (sample.id, sample.split) == ("10", "test")
    assert sample.where.endswith("test.txt, line 2")
    for path in sample.sources.values():
        assert (tmp_path / path).is_file()


def test_sagates_lists_name_paths_and_its_depth_is_in_metres(
    tmp_path: Path, write_nyu: Write
) -> None:
    write_nyu(tmp_path / "NYUDepthv2", "sagate")
    layout = layout_of(tmp_path)
    assert (layout.modalities, layout.unit) == (("visual", "hha", "depth"), None)
    samples = layout.read()
    assert [sample.id for sample in samples] == [str(i) for i in range(12)]
    assert samples[10].sources == {
        "visual": "NYUDepthv2/RGB/10.jpg",
        "hha": "NYUDepthv2/HHA/10.jpg",
        "depth": "NYUDepthv2/Depth/10.npy",
        LABEL_MAP: "NYUDepthv2/Label/10.png",
    }


@pytest.mark.parametrize(
    "line",
    ["7", "7.jpg", "RGB/7.jpg Label/7.png", "NYUDepthv2/RGB/7.jpg", "RGB\\7.jpg\tLabel\\7.png"],
)
def test_forms_of_a_line(tmp_path: Path, write_nyu: Write, line: str) -> None:
    write_nyu(tmp_path, "sagate")
    for path in (tmp_path / "Depth").iterdir():  # copies of unknown unit
        path.rename(path.with_suffix(".png"))
    (tmp_path / "test.txt").write_text(line)
    sources = layout_of(tmp_path).read()[-1].sources
    label = {LABEL_MAP: "Label/7.png"}
    assert sources == {"visual": "RGB/7.jpg", "hha": "HHA/7.jpg"} | label
    (tmp_path / "test.txt").write_text("RGB/7.jpg\tLabel/8.png")
    with pytest.raises(ValueError, match=r"test.txt, line 1: expected one name, or the paths"):
        layout_of(tmp_path).read()


def test_esanets_tree_has_folders_of_splits(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "esanet")
    layout = layout_of(tmp_path)
    assert (layout.modalities, layout.unit) == (("visual", "depth", "raw_depth"), 0.001)
    assert layout.classes == (-100, *range(40))
    sample = layout.read()[10]
    assert (sample.id, sample.split) == ("0011", "test")
    assert sample.sources == {
        "visual": "test/rgb/0011.png",
        "depth": "test/depth/0011.png",
        "raw_depth": "test/depth_raw/0011.png",
        LABEL_MAP: "test/labels_40/0011.png",
    }


def test_a_folder_that_is_a_level_off_names_the_one_that_fits(
    tmp_path: Path, write_nyu: Write
) -> None:
    write_nyu(tmp_path / "nyu/v2", "esanet")
    for root in (tmp_path / "nyu", tmp_path, tmp_path / "nyu/v2/train", tmp_path / "nyu/v3"):
        with pytest.raises(FileNotFoundError, match=rf"set root to {tmp_path / 'nyu/v2'}:"):
            layout_of(root)


def test_tokenfusions_form_names_paths_in_its_order(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "listed")
    layout = layout_of(tmp_path)
    assert layout.modalities == ("visual", "depth")
    assert layout.classes[0] == 0
    assert {*layout.classes[40:]} == {-100}
    sample = layout.read()[11]
    assert sample.split == "test"
    expected = {"visual": "rgb/11.png", LABEL_MAP: "masks/11.png", "depth": "depth/11.png"}
    assert sample.sources == expected


def test_the_official_layout_comes_first(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "unpacked")
    write_nyu(tmp_path, "labeled")
    assert layout_of(tmp_path).name == "nyu_depth_v2_labeled.mat"


def test_no_layout_is_an_error_that_names_all_three(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        layout_of(tmp_path)
    message = str(caught.value)
    for named in (str(tmp_path), "nyu_depth_v2_labeled.mat", "splits.mat", "RGB, HHA", "val.txt"):
        assert named in message


def test_missing_and_wrong_splits_are_errors(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "labeled")
    savemat(tmp_path / "splits.mat", {"trainNdxs": np.array([[13]]), "testNdxs": np.array([[1]])})
    with pytest.raises(ValueError, match=r"splits.mat: trainNdxs has 13, but there are 12 images"):
        layout_of(tmp_path).read()
    (tmp_path / "splits.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"splits.mat is missing: download horatio.*splits"):
        layout_of(tmp_path).read()


def test_other_names_of_classes_are_an_error(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "labeled")
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "r+") as file:
        file["names"][0, 20] = file["names"][0, 0]
    with pytest.raises(ValueError, match="value 21 is 'thing', not 'wall'"):
        layout_of(tmp_path).read()


def test_a_damaged_official_file_is_named(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "labeled")
    path = tmp_path / "nyu_depth_v2_labeled.mat"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"nyu_depth_v2_labeled.mat: truncated"):
        layout_of(tmp_path).read()


def test_a_line_of_another_form_is_named(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "listed")
    (tmp_path / "val.txt").write_text("rgb/0.png\tmasks/0.png\tdepth/0.png\n\nrgb/1.png 1.png\n")
    with pytest.raises(ValueError, match=r"val.txt, line 3: .* got 'rgb/1.png 1.png'"):
        layout_of(tmp_path).read()


def test_a_missing_list_is_named(tmp_path: Path, write_nyu: Write) -> None:
    write_nyu(tmp_path, "unpacked")
    (tmp_path / "test.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"test.txt is missing"):
        layout_of(tmp_path).read()
