import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fdkd_lightning.data.preparation.recipe import (
    FramesRecipe,
    Part,
)
from fdkd_lightning.data.preparation.recipe.frames import choose_frames

Write = Callable[..., Path]
Store = Callable[..., Path]


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
    store: Store,
) -> None:
    compact = store(FramesRecipe(**arguments, bound=24), write_clip(tmp_path / name))
    with zipfile.ZipFile(compact) as archive:
        assert archive.namelist() == [f"{i:05d}.jpg" for i in range(1, len(kept) + 1)]
        frames = [Image.open(io.BytesIO(archive.read(n))) for n in archive.namelist()]
    assert {frame.size for frame in frames} == {(32, 24)}
    assert numbers_of(frames) == kept


def grays(recipe: FramesRecipe, compact: Path, generator: np.random.Generator | None) -> list[int]:
    """Which frames of the clip are loaded."""
    frames = recipe.load(compact, generator)
    assert frames.shape == (recipe.count, 3, 8, 8)
    return [round((float(frame.mean()) * 255 - 20) / 6) for frame in frames]


def test_frames_are_random_in_training_and_fixed_in_evaluation(
    tmp_path: Path, write_clip: Write, store: Store
) -> None:
    compact = store(FramesRecipe(fps=10), write_clip(tmp_path / "a.mp4"))
    one, three = FramesRecipe(size=8), FramesRecipe(count=3, size=8)
    assert grays(one, compact, None) == [15]
    assert grays(three, compact, None) == [5, 15, 25]
    assert len({grays(one, compact, np.random.default_rng(seed))[0] for seed in range(60)}) > 20
    for seed in range(10):
        for part, number in enumerate(grays(three, compact, np.random.default_rng(seed))):
            assert 10 * part <= number < 10 * (part + 1)
    assert grays(FramesRecipe(count=60, size=8), compact, None) == [i // 2 for i in range(60)]


def test_frames_of_a_clip_get_one_view_or_each_its_own(
    tmp_path: Path, write_gradient: Write
) -> None:
    still = write_gradient(tmp_path / "a.png").read_bytes()
    with Image.open(io.BytesIO(still)) as image:
        image.save(tmp_path / "a.jpg", quality=95)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(2):
            archive.write(tmp_path / "a.jpg", f"{i}.jpg")
    first, second = FramesRecipe(count=2, size=16).load(
        tmp_path / "a.zip", np.random.default_rng(0)
    )
    torch.testing.assert_close(first, second)
    apart = FramesRecipe(count=2, size=16, per_frame=True)
    first, second = apart.load(tmp_path / "a.zip", np.random.default_rng(0))
    assert not torch.allclose(first, second, atol=0.05)
    first, second = apart.load(tmp_path / "a.zip", None)
    torch.testing.assert_close(first, second)


def test_the_last_part_never_reaches_beyond_the_end() -> None:
    class Highest(np.random.Generator):
        def random(self, *size: Any, **settings: Any) -> Any:
            return np.full(size, np.nextafter(1.0, 0.0))

    for total in range(1, 40):
        for count in range(1, 20):
            assert choose_frames(total, count, Highest(np.random.PCG64()))[-1] == total - 1


def test_a_blank_is_like_the_others() -> None:
    blank = FramesRecipe(count=2, size=20).blank()
    assert (blank.shape, blank.dtype, bool(blank.any())) == ((2, 3, 20, 20), torch.float32, False)


def test_what_is_stored_tells_compact_forms_apart_and_nothing_else() -> None:
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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FramesRecipe(fps=0), "fps=0 must be above 0"),
        (lambda: FramesRecipe(fps=float("nan")), "fps=nan must be above 0"),
        (lambda: FramesRecipe(least=0), "least=0 must be at least 1"),
        (lambda: FramesRecipe(count=0), "count=0 must be at least 1"),
        (lambda: FramesRecipe(bound=0), "bound=0 must be at least 1"),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_folder_of_frames_is_stored_as_it_is(
    tmp_path: Path, write_picture: Write, store: Store
) -> None:
    for i in range(4):
        write_picture(tmp_path / f"clip/frame_{i + 9}.jpg", color=3 * (20 + 6 * i,))
    compact = store(FramesRecipe(bound=24), tmp_path / "clip")
    with zipfile.ZipFile(compact) as archive:
        assert archive.namelist() == [f"{i:05d}.jpg" for i in range(1, 5)]
    assert grays(FramesRecipe(size=8, count=4), compact, None) == [0, 1, 2, 3]
    part = store(FramesRecipe(), tmp_path / "clip", Part(start=1.0, duration=2.0))
    assert grays(FramesRecipe(size=8, count=2), part, None) == [1, 2]
