from collections.abc import Callable
from pathlib import Path

import numpy as np

from fdkd_lightning.data.preparation.recipe import TextRecipe

Write = Callable[..., Path]


def test_a_text_is_loaded_as_it_is() -> None:
    assert TextRecipe().load("a dog", np.random.default_rng(0)) == "a dog"
    assert TextRecipe().blank() == ""
