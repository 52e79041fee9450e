"""One split of a prepared set."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from fdkd_lightning.data.preparation.manifest_file import Row
from fdkd_lightning.data.preparation.recipe import MediaRecipe, Recipe
from fdkd_lightning.types import IGNORE_INDEX, Batch

LABEL_MAP = "label_map"
"""The source that the map of a sample's labels is made from, where each pixel has one."""


class PairedDataset(Dataset[Batch]):
    """One split, read from the prepared folder sample by sample.

    A sample is asked for by its position, which gives the view of evaluation, or by a pair (epoch,
    position), as :class:`~fdkd_lightning.data.sampling.EpochSampler` does, which gives that
    epoch's own view.

    Args:
        folder: The prepared folder.
        recipes: Modality -> how it is loaded; only these are.
        rows: The samples.
        label: Their labels, [N]; where ``label_recipe`` gives them, only those that are -100 count.
        index: Their ids within the set, [N].
        optional: Modalities that a sample may lack.
        seed: Draws the views, with epoch, index and modality.
        aligned: Draw one view per sample for all its modalities and its label, pixel by pixel.
        label_recipe: How the map of a sample's labels is loaded, from the source ``label_map``.

    Shape:
        - sample[modality]: as the recipe gives it; its blank where the sample lacks it
        - sample["present"]: modality -> whether the sample has it, for ``optional``; without such
          there is no such entry
        - sample["label"], sample["index"]: [] int64; the label [H, W] with ``label_recipe``

    Raises:
        RuntimeError: If a compact form is missing or damaged.
    """

    def __init__(
        self,
        folder: Path,
        recipes: Mapping[str, Recipe],
        rows: Sequence[Row],
        label: NDArray[np.int64],
        index: NDArray[np.int64],
        optional: Sequence[str] = (),
        seed: int = 0,
        aligned: bool = False,
        label_recipe: MediaRecipe | None = None,
    ) -> None:
        self.folder = folder
        self.recipes = dict(recipes)
        names = [*recipes, LABEL_MAP]
        self.sources = {name: _Texts(row.sources.get(name, "") for row in rows) for name in names}
        self.label = torch.from_numpy(label)
        self.index = torch.from_numpy(index)
        self.optional = tuple(optional)
        self.seed = seed
        self.aligned = aligned
        self.label_recipe = label_recipe

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, position: int | tuple[int, int]) -> Batch:
        epoch, i = position if isinstance(position, tuple) else (None, position)
        if not 0 <= i < len(self):
            raise IndexError(f"position {i} of {len(self)} samples")
        sample: Batch = {"label": self.label[i], "index": self.index[i]}
        present = {}
        for name, recipe in self.recipes.items():
            source = self.sources[name][i]
            if name in self.optional:
                present[name] = source != ""
            if not source:
                sample[name] = recipe.blank(self._rng(epoch, i, name))
                continue
            sample[name] = self._load(recipe, source, self._rng(epoch, i, name))
        if present:
            sample["present"] = present
        if self.label_recipe is not None:
            source = self.sources[LABEL_MAP][i]
            rng = self._rng(epoch, i, LABEL_MAP)
            if source and self.label[i] != IGNORE_INDEX:
                sample["label"] = self._load(self.label_recipe, source, rng)
            else:
                sample["label"] = self.label_recipe.blank(rng)
        return sample

    def _rng(self, epoch: int | None, i: int, name: str) -> np.random.Generator | None:
        if epoch is None:
            return None
        # One of its own, so that other modalities and samples leave it as it is.
        own = 0 if self.aligned else zlib.crc32(name.encode())
        return np.random.default_rng((self.seed, epoch, int(self.index[i]), own))

    def _load(self, recipe: Recipe, source: str, rng: np.random.Generator | None) -> Any:
        if not isinstance(recipe, MediaRecipe):
            return recipe.load(source, rng)
        path = self.folder / source
        try:
            return recipe.load(path, rng)
        except Exception as error:
            raise RuntimeError(
                f"{path} cannot be read ({error}): delete it if it is there, and prepare_data() "
                "makes it anew"
            ) from error


class _Texts(Sequence[str]):
    """Strings in one array: a list's would be copied to each worker, by and by, as it counts."""

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode() for text in texts]
        self.ends = np.cumsum([0, *map(len, encoded)])
        self.content = np.frombuffer(bytearray().join(encoded), np.uint8)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: Any) -> Any:
        return self.content[self.ends[i] : self.ends[i + 1]].tobytes().decode()
