import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fdkd_lightning.data.preparation.media_error import MediaError
from fdkd_lightning.data.preparation.recipe import ArrayRecipe, Part

Store = Callable[..., Path]


def test_a_pickle_and_a_file_of_numpy_are_loaded(tmp_path: Path, store: Store) -> None:
    spectrogram = np.random.default_rng(0).normal(size=(4, 6))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(spectrogram))
    np.save(tmp_path / "a.npy", spectrogram.astype("f4"))
    recipe = ArrayRecipe(shape=(1, 4, 6))
    for name in ("a.pkl", "a.npy"):
        loaded = recipe.load(store(recipe, tmp_path / name), None)
        assert loaded.dtype == torch.float32
        assert torch.equal(loaded, torch.from_numpy(spectrogram[None].astype("f4")))
    assert torch.equal(recipe.blank(), torch.zeros(1, 4, 6))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((6, 4)),
        np.zeros((4, 6, 2)),
        np.full((4, 6), np.nan),
        np.full((4, 6), 1e300),
        np.zeros((0,)),
    ],
)
def test_another_shape_or_no_number_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(MediaError):
        ArrayRecipe(shape=(1, 4, 6)).encode(tmp_path / "a.npy")


def test_a_segment_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(MediaError, match="start and duration do not apply"):
        ArrayRecipe([3]).encode(tmp_path / "a.npy", Part(start=1.0))


@pytest.mark.parametrize("shape", [(), (0, 3), (-1,)])
def test_a_shape_is_positive(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape="):
        ArrayRecipe(shape)
