"""The digits of one split in memory, degraded as they are loaded."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from fdkd_lightning.data.embedded.degrade import babble_noise, degrade_image
from fdkd_lightning.data.embedded.digit_names import digit_name
from fdkd_lightning.data.preparation.store import read_arrays
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
        new_labels: New class of each of the ten digits; None: they stay as they are.

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
        new_labels: NDArray[np.int64] | None = None,
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
        if new_labels is not None:
            label = new_labels[label]
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
        self.index = index

    def __len__(self) -> int:
        return len(self.samples["label"])

    def __getitem__(self, position: int) -> Batch:
        return {name: values[position] for name, values in self.samples.items()}
