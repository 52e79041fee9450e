import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fdkd_lightning.data.media import MediaError, read_audio
from fdkd_lightning.data.recipe import (
    AudioRecipe,
    FramesRecipe,
    ImageRecipe,
    MediaRecipe,
    TextRecipe,
    choose_frames,
)

Write = Callable[..., Path]


def store(
    recipe: MediaRecipe, path: Path, start: float | None = None, duration: float | None = None
) -> Path:
    """The compact form, beside its source."""
    compact = path.with_name(f"{path.name}{recipe.suffix}")
    compact.write_bytes(recipe.encode(path, start, duration))
    return compact


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def ramp(path: Path, samples: int) -> Path:
    """A compact form of audio: 0, 1, 2, ..."""
    np.save(path, np.arange(samples, dtype=np.int16))
    return path


def values(recipe: AudioRecipe, path: Path, generator: np.random.Generator | None) -> list[int]:
    return (recipe.load(path, generator) * 32768).int().tolist()


def test_audio_is_kept_in_16_bits_at_the_recipes_rate(tmp_path: Path, write_wav: Write) -> None:
    path = write_wav(tmp_path / "a.wav", 1, 44_100)
    compact = store(AudioRecipe(16_000), path)
    kept = np.load(compact)
    assert kept.dtype == np.int16
    np.testing.assert_allclose(kept / 32768, read_audio(path, 16_000), atol=1 / 32768)
    segment = np.load(store(AudioRecipe(16_000), path, 0.25, 0.5))
    np.testing.assert_array_equal(segment, kept[4000:12_000])


def test_a_16_bit_wav_is_kept_as_it_is(tmp_path: Path, write_wav: Write) -> None:
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
    assert values(recipe, path, None) == values(recipe, path, rng()) == expected


def test_a_long_sound_is_cropped(tmp_path: Path) -> None:
    path = ramp(tmp_path / "a.npy", 24)
    start = AudioRecipe(10, seconds=2)
    assert values(start, path, None) == values(start, path, rng()) == list(range(20))
    anywhere = AudioRecipe(10, seconds=2, crop="random")
    assert values(anywhere, path, None) == list(range(2, 22))
    firsts = set()
    for seed in range(100):
        sound = values(anywhere, path, rng(seed))
        assert sound == list(range(sound[0], sound[0] + 20))
        firsts.add(sound[0])
    assert firsts == {0, 1, 2, 3, 4}


def test_a_sound_of_just_that_length(tmp_path: Path) -> None:
    path = ramp(tmp_path / "a.npy", 10)
    for crop in ("start", "random"):
        assert values(AudioRecipe(10, 1, "zeros", crop), path, rng()) == list(range(10))  # type: ignore[arg-type]


def test_a_picture_is_bounded_and_scaled_to_one(tmp_path: Path, write_picture: Write) -> None:
    path = write_picture(tmp_path / "a.png", (100, 60))
    recipe = ImageRecipe(size=16, bound=30)
    compact = store(recipe, path)
    assert Image.open(compact).size == (50, 30)
    assert Image.open(store(ImageRecipe(bound=200), path)).size == (100, 60)
    picture = recipe.load(compact, None)
    assert (picture.shape, picture.dtype) == ((3, 16, 16), torch.float32)
    expected = torch.tensor([200, 100, 50])[:, None, None] / 255
    torch.testing.assert_close(picture, expected.expand(3, 16, 16), atol=0.02, rtol=0)


def gradient(path: Path, size: tuple[int, int] = (64, 48)) -> Path:
    """Red is the column, green the row, from 0 to 255."""
    width, height = size
    x = np.linspace(0, 255, width)[None].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    Image.fromarray(np.stack([x, y, 0 * x], 2).astype(np.uint8)).save(path)
    return path


def test_training_views_differ_and_evaluation_sees_the_whole(tmp_path: Path) -> None:
    recipe = ImageRecipe(size=32)
    compact = store(recipe, gradient(tmp_path / "a.png"))
    whole = recipe.load(compact, None)
    assert whole[0, :, 0].max() < 0.05
    assert whole[0, :, -1].min() > 0.95
    torch.testing.assert_close(recipe.load(compact, rng(5)), recipe.load(compact, rng(5)))
    areas, mirrored = [], 0
    for seed in range(200):
        view = recipe.load(compact, rng(seed))
        width = float(view[0, :, -1].mean() - view[0, :, 0].mean())
        height = float(view[1, -1].mean() - view[1, 0].mean())
        mirrored += width < 0
        # Of 64 by 48 pixels; the margin is that of JPEG and of resampling.
        assert 0.6 < abs(width) * 64 / (height * 48) < 1.7
        areas.append(abs(width) * height)
    assert 70 < mirrored < 130
    assert 0.05 < min(areas) < 0.2
    assert 0.8 < max(areas) <= 1
    still = ImageRecipe(size=32, augment=False)
    torch.testing.assert_close(still.load(compact, rng()), whole)


def test_a_very_long_picture_has_a_view(tmp_path: Path) -> None:
    recipe = ImageRecipe(size=8)
    compact = store(recipe, gradient(tmp_path / "a.png", (2000, 4)))
    assert {recipe.load(compact, rng(seed)).shape for seed in range(20)} == {(3, 8, 8)}


def test_gray_and_transparent_pictures_become_rgb_but_16_bits_are_refused(tmp_path: Path) -> None:
    recipe = ImageRecipe(size=8)
    for mode in ("L", "P", "RGBA", "CMYK", "1"):
        path = tmp_path / f"{mode}.tiff"
        Image.new(mode, (9, 9)).save(path)
        assert recipe.load(store(recipe, path), None).shape == (3, 8, 8)
    Image.fromarray(np.full((9, 9), 5000, np.uint16)).save(tmp_path / "depth.png")
    with pytest.raises(MediaError, match=r"undecodable: values of mode I;16"):
        recipe.encode(tmp_path / "depth.png", None, None)


@pytest.mark.parametrize("name", ["a.flv", "a.mp4"])
@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ({}, [0, 10, 20]),
        ({"fps": 0.5}, [5, 15, 25]),
        ({"fps": 2, "least": 1}, [0, 5, 10, 15, 20, 25]),
        ({"fps": None, "least": 2}, [7, 22]),
    ],
)
def test_frames_are_jpeg_files_in_a_zip_file(
    tmp_path: Path,
    write_clip: Write,
    numbers_of: Callable[[list[Image.Image]], list[int]],
    name: str,
    arguments: dict[str, Any],
    kept: list[int],
) -> None:
    compact = store(FramesRecipe(**arguments, bound=24), write_clip(tmp_path / name))
    with zipfile.ZipFile(compact) as archive:
        assert archive.namelist() == [f"{i:05d}.jpg" for i in range(1, len(kept) + 1)]
        frames = [Image.open(io.BytesIO(archive.read(n))) for n in archive.namelist()]
    assert {frame.size for frame in frames} == {(32, 24)}
    assert numbers_of(frames) == kept


def test_the_compact_form_has_the_same_bytes_each_time(tmp_path: Path, write_clip: Write) -> None:
    path = write_clip(tmp_path / "a.flv")
    for recipe in (FramesRecipe(), AudioRecipe()):
        assert recipe.encode(path, None, None) == recipe.encode(path, None, None)


def grays(recipe: FramesRecipe, compact: Path, generator: np.random.Generator | None) -> list[int]:
    """Which frames of the clip are loaded."""
    frames = recipe.load(compact, generator)
    assert frames.shape == (recipe.count, 3, 8, 8)
    return [round((float(frame.mean()) * 255 - 20) / 6) for frame in frames]


def test_frames_are_random_in_training_and_fixed_in_evaluation(
    tmp_path: Path, write_clip: Write
) -> None:
    compact = store(FramesRecipe(fps=10), write_clip(tmp_path / "a.mp4"))
    one, three = FramesRecipe(size=8), FramesRecipe(count=3, size=8)
    assert grays(one, compact, None) == [15]
    assert grays(three, compact, None) == [5, 15, 25]
    assert len({grays(one, compact, rng(seed))[0] for seed in range(60)}) > 20
    for seed in range(10):
        for part, number in enumerate(grays(three, compact, rng(seed))):
            assert 10 * part <= number < 10 * (part + 1)
    assert grays(FramesRecipe(count=60, size=8), compact, None) == [i // 2 for i in range(60)]


def test_all_frames_of_a_clip_get_one_view(tmp_path: Path) -> None:
    still = gradient(tmp_path / "a.png").read_bytes()
    with Image.open(io.BytesIO(still)) as image:
        image.save(tmp_path / "a.jpg", quality=95)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(2):
            archive.write(tmp_path / "a.jpg", f"{i}.jpg")
    first, second = FramesRecipe(count=2, size=16).load(tmp_path / "a.zip", rng())
    torch.testing.assert_close(first, second)


def test_the_last_part_never_reaches_beyond_the_end() -> None:
    class Highest(np.random.Generator):
        def random(self, *size: Any, **settings: Any) -> Any:
            return np.full(size, np.nextafter(1.0, 0.0))

    for total in range(1, 40):
        for count in range(1, 20):
            assert choose_frames(total, count, Highest(np.random.PCG64()))[-1] == total - 1


def test_a_text_is_loaded_as_it_is() -> None:
    assert TextRecipe().load("a dog", rng()) == "a dog"
    assert TextRecipe().blank() == ""


@pytest.mark.parametrize(
    ("recipe", "shape"),
    [
        (AudioRecipe(8000, 0.5), (4000,)),
        (ImageRecipe(20), (3, 20, 20)),
        (FramesRecipe(count=2, size=20), (2, 3, 20, 20)),
    ],
)
def test_a_blank_has_the_shape_of_the_others(recipe: MediaRecipe, shape: tuple[int, ...]) -> None:
    blank = recipe.blank()
    assert (blank.shape, blank.dtype, bool(blank.any())) == (shape, torch.float32, False)


def test_a_fingerprint_tells_compact_forms_apart_and_nothing_else() -> None:
    assert AudioRecipe(8000).fingerprint != AudioRecipe(16_000).fingerprint
    views = [AudioRecipe(), AudioRecipe(seconds=1, fill="zeros", crop="random")]
    assert len({view.fingerprint for view in views}) == 1
    frames = [
        FramesRecipe(),
        FramesRecipe(fps=2),
        FramesRecipe(fps=None),
        FramesRecipe(least=1),
        FramesRecipe(bound=100),
        FramesRecipe(quality=80),
    ]
    assert len({recipe.fingerprint for recipe in frames}) == len(frames)
    same = [FramesRecipe(count=3), FramesRecipe(size=32), FramesRecipe(augment=False)]
    assert {recipe.fingerprint for recipe in same} == {FramesRecipe().fingerprint}
    assert ImageRecipe().fingerprint != ImageRecipe(bound=100).fingerprint


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AudioRecipe(rate=0), "rate=0 must be at least 1"),
        (lambda: AudioRecipe(seconds=0), "seconds=0 must be at least"),
        (lambda: AudioRecipe(fill="none"), "fill='none' must be 'tile' or 'zeros'"),  # type: ignore[arg-type]
        (lambda: AudioRecipe(crop="end"), "crop='end' must be 'start' or 'random'"),  # type: ignore[arg-type]
        (lambda: ImageRecipe(size=0), "size=0 must be at least 1"),
        (lambda: ImageRecipe(quality=96), "quality=96 must be from 1 to 95"),
        (lambda: FramesRecipe(fps=0), "fps=0 must be above 0, or None"),
        (lambda: FramesRecipe(least=0), "least=0 must be at least 1"),
        (lambda: FramesRecipe(count=0), "count=0 must be at least 1"),
        (lambda: FramesRecipe(bound=0), "bound=0 must be at least 1"),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
