from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fdkd_lightning.data.preparation.media import read_audio
from fdkd_lightning.data.preparation.recipe import AudioRecipe, Part

Write = Callable[..., Path]
Store = Callable[..., Path]


def ramp(path: Path, samples: int) -> Path:
    """A compact form of audio: 0, 1, 2, ..."""
    np.save(path, np.arange(samples, dtype=np.int16))
    return path


def values(recipe: AudioRecipe, path: Path, generator: np.random.Generator | None) -> list[int]:
    return (recipe.load(path, generator) * 32768).int().tolist()


def test_audio_is_kept_in_16_bits_at_the_recipes_rate(
    tmp_path: Path, write_wav: Write, store: Store
) -> None:
    path = write_wav(tmp_path / "a.wav", 1, 44_100)
    compact = store(AudioRecipe(16_000), path)
    kept = np.load(compact)
    assert kept.dtype == np.int16
    np.testing.assert_allclose(kept / 32768, read_audio(path, 16_000), atol=1 / 32768)
    segment = np.load(store(AudioRecipe(16_000), path, Part(0.25, 0.5)))
    np.testing.assert_array_equal(segment, kept[4000:12_000])


def test_a_16_bit_wav_is_kept_as_it_is(tmp_path: Path, write_wav: Write, store: Store) -> None:
    path = write_wav(tmp_path / "a.wav", 1, 16_000)
    stored = np.frombuffer(path.read_bytes()[44:], "<i2")
    np.testing.assert_array_equal(np.load(store(AudioRecipe(16_000), path)), stored)


@pytest.mark.parametrize(
    ("fill", "expected"),
    [("tile", [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]), ("zeros", [0, 1, 2, 3] + [0] * 6)],
)
def test_a_short_sound_is_filled(tmp_path: Path, fill: Any, expected: list[int]) -> None:
    recipe = AudioRecipe(10, seconds=1, fill=fill)
    path = ramp(tmp_path / "a.npy", 4)
    assert values(recipe, path, None) == values(recipe, path, np.random.default_rng(0)) == expected


def test_a_long_sound_is_cropped(tmp_path: Path) -> None:
    path = ramp(tmp_path / "a.npy", 24)
    start = AudioRecipe(10, seconds=2)
    assert (
        values(start, path, None)
        == values(start, path, np.random.default_rng(0))
        == list(range(20))
    )
    anywhere = AudioRecipe(10, seconds=2, crop="random")
    assert values(anywhere, path, None) == list(range(2, 22))
    firsts = set()
    for seed in range(100):
        sound = values(anywhere, path, np.random.default_rng(seed))
        assert sound == list(range(sound[0], sound[0] + 20))
        firsts.add(sound[0])
    assert firsts == {0, 1, 2, 3, 4}


def test_a_sound_of_just_that_length(tmp_path: Path) -> None:
    path = ramp(tmp_path / "a.npy", 10)
    for crop in ("start", "random"):
        assert values(AudioRecipe(10, 1, "zeros", crop), path, np.random.default_rng(0)) == list(
            range(10)
        )  # type: ignore[arg-type]


def test_a_clip_may_keep_its_own_length(tmp_path: Path) -> None:
    recipe = AudioRecipe(10, seconds=None)
    for samples in (4, 24):
        path = ramp(tmp_path / "a.npy", samples)
        assert (
            values(recipe, path, None)
            == values(recipe, path, np.random.default_rng(0))
            == list(range(samples))
        )
    assert recipe.blank().shape == (10,)


def test_a_blank_is_like_the_others() -> None:
    blank = AudioRecipe(8000, 0.5).blank()
    assert (blank.shape, blank.dtype, bool(blank.any())) == ((4000,), torch.float32, False)


def test_the_rate_alone_tells_compact_forms_apart() -> None:
    assert AudioRecipe(8000).fingerprint != AudioRecipe(16_000).fingerprint
    views = [AudioRecipe(), AudioRecipe(seconds=1, fill="zeros", crop="random")]
    assert len({view.fingerprint for view in views}) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AudioRecipe(rate=0), "rate=0 must be at least 1"),
        (lambda: AudioRecipe(seconds=0), "seconds=0 must be at least"),
        (lambda: AudioRecipe(fill="none"), "fill='none' is unknown: choose 'tile' or 'zeros'"),  # type: ignore[arg-type]
        (lambda: AudioRecipe(crop="end"), "crop='end' is unknown: choose 'start' or 'random'"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
