from collections.abc import Callable
from pathlib import Path

import numpy as np

from fdkd_lightning.data.preparation.recipe import TextRecipe

Write = Callable[..., Path]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_text_is_loaded_as_it_is() -> None:
    assert TextRecipe().load("a dog", rng()) == "a dog"
    assert TextRecipe().blank() == ""
