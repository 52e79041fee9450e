from collections.abc import Callable
from pathlib import Path

from fdkd_lightning.data.preparation.recipe import (
    AudioRecipe,
    FramesRecipe,
    ImageRecipe,
    MediaRecipe,
)

Write = Callable[..., Path]


def test_the_compact_form_has_the_same_bytes_each_time(tmp_path: Path, write_clip: Write) -> None:
    path = write_clip(tmp_path / "a.flv")
    for recipe in (FramesRecipe(), AudioRecipe()):
        assert recipe.encode(path) == recipe.encode(path)


def test_kinds_that_store_alike_named_values_are_told_apart() -> None:
    recipes: list[MediaRecipe] = [AudioRecipe(), ImageRecipe(), FramesRecipe()]
    assert len({recipe.fingerprint for recipe in recipes}) == 3


def test_a_file_is_read_as_in_evaluation(
    tmp_path: Path, write_gradient: Write, store: Callable[..., Path]
) -> None:
    path, recipe = write_gradient(tmp_path / "a.png"), ImageRecipe(size=32)
    assert recipe.read(path).equal(recipe.load(store(recipe, path), rng=None))
