from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from fdkd_lightning.data.preparation.matlab import read_member, read_numbers, read_shape, read_texts
from fdkd_lightning.data.preparation.media_error import MediaError


@pytest.fixture
def labeled(tmp_path: Path, write_nyu: Callable[..., Any]) -> Path:
    write_nyu(tmp_path, "labeled", count=5, split=3)
    return tmp_path / "nyu_depth_v2_labeled.mat"


def test_a_member_has_the_axes_that_matlab_shows(labeled: Path) -> None:
    with h5py.File(labeled, "r") as file:
        stored = file["images"][3]
    assert stored.shape == (3, 64, 48)
    image = read_member(labeled, "images/3")
    assert image.shape == (48, 64, 3)
    assert image.dtype == np.uint8
    assert image[5, 7].tolist() == stored[:, 7, 5].tolist()
    assert read_member(labeled, "depths/0").shape == (48, 64)
    assert read_member(labeled, "labels/4").dtype == np.uint16


def test_only_the_member_is_read(labeled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    real = h5py.Dataset.__getitem__

    def spy(self: Any, args: Any, **more: Any) -> Any:
        found = real(self, args, **more)
        taken.append(found.nbytes)
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    read_member(labeled, "images/2")
    assert taken == [3 * 48 * 64]


def test_texts_are_read_through_their_references(labeled: Path) -> None:
    assert read_texts(labeled, "scenes") == 3 * ["scene_0000"] + 2 * ["scene_0001"]
    assert read_texts(labeled, "names")[20] == "wall"
    assert read_shape(labeled, "images") == (5, 3, 64, 48)


@pytest.mark.parametrize("dtype", [np.uint16, np.float64])
def test_numbers_are_read_from_either_version(tmp_path: Path, dtype: Any) -> None:
    numbers = np.array([[3], [1449]], dtype)
    savemat(tmp_path / "old.mat", {"trainNdxs": numbers})
    with h5py.File(tmp_path / "new.mat", "w") as file:
        file["trainNdxs"] = numbers.T
    for name in ("old.mat", "new.mat"):
        assert read_numbers(tmp_path / name, ("trainNdxs",)) == {"trainNdxs": [3, 1449]}


def test_what_is_not_there_is_named(labeled: Path, tmp_path: Path) -> None:
    for member, message in (
        ("pictures/0", "the file has no array 'pictures', only .*images"),
        ("images/5", "images has 5 samples, but not '5'"),
        ("images/-1", "images has 5 samples, but not '-1'"),
    ):
        with pytest.raises(MediaError, match=message):
            read_member(labeled, member)
    with pytest.raises(MediaError, match="missing"):
        read_member(tmp_path / "absent.mat", "images/0")
    with pytest.raises(MediaError, match="the file has no array 'testNdx'"):
        read_numbers(tmp_path / "splits.mat", ("testNdx",))


def test_a_file_that_is_cut_off_or_none_is_told(labeled: Path) -> None:
    content = labeled.read_bytes()
    labeled.write_bytes(content[: len(content) // 2])
    with pytest.raises(MediaError) as caught:
        read_member(labeled, "images/0")
    assert caught.value.status == "truncated"
    labeled.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(MediaError) as caught:
        read_shape(labeled, "images")
    assert caught.value.status == "lfs-stub"
    labeled.write_bytes(b"MATLAB 7.3, or so it says" * 40)
    for read in (lambda: read_shape(labeled, "images"), lambda: read_numbers(labeled, ("x",))):
        with pytest.raises(MediaError) as caught:
            read()
        assert caught.value.status == "undecodable"


def test_arrays_that_lie_in_another_file_are_not_read(tmp_path: Path) -> None:
    """HDF5 has three ways to keep them there."""
    secret = tmp_path / "elsewhere" / "secret.mat"
    secret.parent.mkdir()
    with h5py.File(secret, "w") as file:
        file["images"] = np.full((2, 3), 7)
    raw = secret.with_suffix(".raw")
    raw.write_bytes(b"7" * 6)
    path = tmp_path / "set" / "linked.mat"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        file["linked"] = h5py.ExternalLink(str(secret), "images")
        file.create_dataset("external", (2, 3), np.uint8, external=[(str(raw), 0, 6)])
        layout = h5py.VirtualLayout((2, 3), int)
        layout[:] = h5py.VirtualSource(str(secret), "images", (2, 3))
        file.create_virtual_dataset("virtual", layout)
        file["own"] = np.ones((2, 3))
    for name in ("linked", "external", "virtual"):
        with pytest.raises(MediaError, match=f"'{name}' is not an array stored in this file"):
            read_member(path, f"{name}/0")
    assert read_member(path, "own/1").tolist() == [1, 1, 1]


def test_cells_that_lie_in_another_file_are_not_read(tmp_path: Path) -> None:
    raw = tmp_path / "secret.raw"
    raw.write_bytes(b"s\0e\0")
    secret = tmp_path / "secret.mat"
    with h5py.File(secret, "w") as file:
        file["text"] = np.array([115, 101], np.uint16)
        file["group/text"] = np.ones((2, 3))
    path = tmp_path / "cells.mat"
    with h5py.File(path, "w") as file:
        own = file.create_dataset("own", data=np.array([111, 107], np.uint16))
        external = file.create_dataset("e", (2,), np.uint16, external=[(str(raw), 0, 4)])
        layout = h5py.VirtualLayout((2,), np.uint16)
        layout[:] = h5py.VirtualSource(str(secret), "text", (2,))
        virtual = file.create_virtual_dataset("v", layout)
        folder = file.create_group("folder")
        file["outer"] = h5py.ExternalLink(str(secret), "group")
        file["soft"] = h5py.SoftLink("/outer/text")
        for name, target in (
            ("good", own),
            ("external", external),
            ("virtual", virtual),
            ("group", folder),
        ):
            cells = file.create_dataset(f"cells_{name}", (1, 1), h5py.ref_dtype)
            cells[0] = [target.ref]
        file.create_dataset("cells_null", (1, 1), h5py.ref_dtype)
        file["cells_number"] = np.ones((1, 2))
    assert read_texts(path, "cells_good") == ["ok"]
    for name in ("external", "virtual", "group", "null"):
        with pytest.raises(MediaError, match=r"cells.mat: .* not an array stored in this file"):
            read_texts(path, f"cells_{name}")
    with pytest.raises(MediaError, match="'cells_number' is not a cell array"):
        read_texts(path, "cells_number")
    for name in ("outer/text", "soft"):
        with pytest.raises(MediaError, match="not an array stored in this file"):
            read_member(path, f"{name}/0")


def test_an_array_of_any_declared_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.mat"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (2, 1 << 20, 1 << 20), np.uint8, chunks=(1, 1024, 1024))
        file.create_dataset("trainNdxs", (1 << 40,), np.uint8, chunks=(1024,))
    with pytest.raises(MediaError, match=r"'images' takes 1,099,511,627,776 bytes: the limit"):
        read_member(path, "images/1")
    with pytest.raises(MediaError, match=r"bomb.mat: 'trainNdxs' takes"):
        read_numbers(path, ("trainNdxs",))


def test_damaged_lists_are_named(tmp_path: Path) -> None:
    path = tmp_path / "splits.mat"
    savemat(path, {"trainNdxs": np.array([1, 2]), "testNdxs": np.array([1.5])})
    content = path.read_bytes()
    with pytest.raises(MediaError, match=r"splits.mat: .testNdxs. holds other values"):
        read_numbers(path, ("trainNdxs", "testNdxs"))
    rng = np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(content[: rng.integers(1, len(content) + 1)])
        for i in rng.integers(len(damaged), size=4):
            damaged[i] = rng.integers(256)
        path.write_bytes(damaged)
        with suppress(MediaError):
            numbers = read_numbers(path, ("trainNdxs",))
            assert all(isinstance(number, int) for number in numbers["trainNdxs"])
