"""Dataset of one split, read from a prepared folder."""

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from fdkd_lightning.data.preparation.coverage import is_usable
from fdkd_lightning.data.preparation.manifest_file import Row
from fdkd_lightning.data.preparation.recipe import MediaRecipe, Recipe
from fdkd_lightning.data.preparation.sample import LABEL_MAP, Sample
from fdkd_lightning.types import IGNORE_INDEX, Batch


def usable_positions(
    rows: Sequence[Row],
    samples: Sequence[Sample],
    split: str,
    modalities: Collection[str],
    optional: Collection[str],
) -> list[int]:
    """Return the positions of the samples of a split that can be loaded.

    See :func:`~fdkd_lightning.data.preparation.coverage.is_usable`.
    """
    positions = [
        position
        for position, (row, sample) in enumerate(zip(rows, samples, strict=True))
        if row.split == split and is_usable(sample, row, modalities, optional)
    ]
    if not positions:
        remedy = ": set val_fraction" if split == "val" else ""
        required = ", ".join(sorted({*modalities} - {*optional})) or "any modality"
        raise ValueError(
            f"split {split!r} has no sample with {required} (fdkd prepare reports why){remedy}"
        )
    return positions


class PairedDataset(Dataset[Batch]):
    """One split of a prepared data set.

    Indexing with a position returns the evaluation view of a sample. Indexing with (epoch,
    position), the pairs of :class:`~fdkd_lightning.data.sampling.EpochSampler`, returns the
    training view of that epoch.

    Args:
        folder: The prepared folder.
        recipes: Modality -> recipe, for the modalities to load.
        rows: Rows of the manifest, one for each sample.
        label: Class index of each sample, -100 if it has none. With ``label_recipe`` only -100 has
            a meaning: the sample is used without its label map.
        index: Id of each sample within the data set.
        optional: Modalities that a sample may lack.
        seed: Seed of the training views, together with epoch, index and modality.
        aligned: Draw one view for all modalities of a sample and its label map, pixel by pixel.
        label_recipe: Recipe of the source ``label_map``; None: one class per sample.

    Shape:
        - label, index: [N]
        - sample[modality]: as the recipe documents; its blank if the sample lacks the modality
        - sample["present"]: modality -> bool, for the modalities in ``optional``; no such entry if
          there are none
        - sample["label"]: scalar int64; [H, W] with ``label_recipe``
        - sample["index"]: scalar int64

    Raises:
        IndexError: If there is no such position.
        RuntimeError: If a compact form is missing or damaged.

    Example:
        >>> from fdkd_lightning.data.preparation.recipe import TextRecipe
        >>> row = Row("a", "train", "owl", {"text": "an owl"}, status="ok", reason="")
        >>> zeros = np.zeros(1, np.int64)
        >>> data = PairedDataset(Path(), {"text": TextRecipe()}, [row], zeros, zeros)
        >>> data[0]["text"], len(data)
        ('an owl', 1)
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
        self.ids: Sequence[str] = _Texts(row.id for row in rows)
        self.optional = tuple(optional)
        self.skipped: frozenset[str] = frozenset()
        self.seed = seed
        self.aligned = aligned
        self.label_recipe = label_recipe

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, position: int | tuple[int, int]) -> Batch:
        epoch, i = position if isinstance(position, tuple) else (None, position)
        if not 0 <= i < len(self):
            raise IndexError(f"position {i} is out of range: there are {len(self)} samples")
        sample: Batch = {"label": self.label[i], "index": self.index[i]}
        present = {}
        for name, recipe in self.recipes.items():
            source = self.sources[name][i]
            if name in self.optional:
                present[name] = source != ""
            if name in self.skipped:
                continue
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
        # A generator for each modality of each sample: its draws do not depend on the others.
        stream = 0 if self.aligned else zlib.crc32(name.encode())
        return np.random.default_rng((self.seed, epoch, int(self.index[i]), stream))

    def _load(self, recipe: Recipe, source: str, rng: np.random.Generator | None) -> Any:
        if not isinstance(recipe, MediaRecipe):
            return recipe.load(source, rng)
        path = self.folder / source
        try:
            return recipe.load(path, rng)
        except Exception as error:
            raise RuntimeError(
                f"{path} cannot be read ({error}): delete it if it exists, and call prepare_data() "
                "to rebuild it"
            ) from error


class _Texts(Sequence[str]):
    """Strings in one array.

    Worker processes would gradually copy a list of strings, as reading it changes their reference
    counts.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode() for text in texts]
        self.ends = np.cumsum([0, *map(len, encoded)])
        self.content = np.frombuffer(bytearray().join(encoded), np.uint8)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: Any) -> Any:
        return self.content[self.ends[i] : self.ends[i + 1]].tobytes().decode()
