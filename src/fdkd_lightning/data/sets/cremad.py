"""CREMA-D: actors say twelve sentences in six emotions; their voices and their faces."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import nn
from torchvision.transforms import v2

from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.preparation.paths import within
from fdkd_lightning.data.preparation.recipe import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    AudioRecipe,
    FramesRecipe,
    Recipe,
)
from fdkd_lightning.data.preparation.sample import Sample
from fdkd_lightning.data.preparation.validation_split import draw_validation
from fdkd_lightning.data.transforms.published_audio import FDCMKDSpectrogram

LISTS = {"train": "train.csv", "test": "test.csv"}
"""Split -> list, in ``root``."""

HELD_OUT = 0.1
"""Part of the clips, or of the actors' clips, that becomes test or validation split."""

SILENT = "1076_MTI_SAD_XX"
"""A clip that the owner's page calls bad in every medium; the file can be decoded."""

BAD_VIDEO = ("1064_IEO_DIS_MD", "1064_TIE_SAD_XX", "1076_MTI_NEU_XX")
"""Clips that the owner's page calls bad as FLV and MP3, but not as WAV."""


class CREMAD(PairedDataModule):
    """The published split of CREMA-D: 6,698 training and 744 test clips.

    ``root`` is the owner's repository (https://github.com/CheyneyComputerScience/CREMA-D, 7.6 GB
    with git-LFS), of which it needs ``AudioWAV/*.wav`` and ``VideoFlash/*.flv``. The owner has no
    splits: put ``train.csv`` and ``test.csv`` into ``root``, which OGM-GE and those after it use
    (for instance from ``data/CREMAD`` of https://github.com/fanyunfeng-bit/Modal-Imbalance-PMR).
    They have rows ``name,emotion`` and no header.

    The lists have no validation split, and published codes choose the epoch on test data. Here a
    tenth of the training clips, of each emotion alike, is validation data, drawn by ``split_seed``:
    about 6,030 remain. All 91 actors are in all splits: see :class:`CREMADSpeakerIndependent`.

    The clip 1076_MTI_SAD_XX, which its owner calls bad in every medium, is left out by its name,
    and so are the frames of 1064_IEO_DIS_MD, 1064_TIE_SAD_XX and 1076_MTI_NEU_XX: some of these
    files can be decoded, and show something else. Files that are broken or git-LFS stubs are left
    out too. The manifest has the reasons. A clip that is listed twice, within a list
    or in both, and an emotion that is none of the six are errors.

    Shape:
        - batch["audio"]: [N, 1, 257, 1004], the reproduction's spectrogram; sound is kept whole
          at 16,000 Hz, the owner's rate, so that other transforms of ``audio`` can be chosen
        - batch["visual"]: [N, 1, 3, 224, 224], one frame of those kept, 1 per second and at least 3
        - batch["label"]: [N] int64; NEU, HAP, SAD, FEA, DIS, ANG are 0 to 5

    Raises:
        FileNotFoundError: Once samples are read, if a list is not there.

    Reference:
        Cao et al., "CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset" (IEEE Transactions
        on Affective Computing, 2014). Lists and classes: GeWu-Lab/OGM-GE_CVPR2022
        dataset/CramedDataset.py. Frames: zxn0710/re-FD-CMKD-main dataset/CremadDataset.py.

    Example:
        >>> data = CREMAD("data/cremad", batch_size=64)
        >>> data.class_names, data.modalities
        (('NEU', 'HAP', 'SAD', 'FEA', 'DIS', 'ANG'), ('audio', 'visual'))
    """

    class_names = ("NEU", "HAP", "SAD", "FEA", "DIS", "ANG")
    available_modalities = ("audio", "visual")
    own_val_fraction = HELD_OUT

    def default_recipes(self) -> dict[str, Recipe]:
        """Whole clips of sound, and one frame."""
        return {
            "audio": AudioRecipe(rate=16_000, seconds=None),
            "visual": FramesRecipe(fps=1, least=3, count=1),
        }

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """The reproduction's spectrogram, and ImageNet's mean and deviation."""
        return {
            "audio": FDCMKDSpectrogram(sample_rate=16_000),
            "visual": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        }

    def read_samples(self) -> list[Sample]:
        """The rows of the two lists."""
        return [
            sample
            for split, name in LISTS.items()
            for sample in _read_list(within(self.root, name), split)
        ]


class CREMADSpeakerIndependent(CREMAD):
    """CREMA-D with no actor in two splits: what is learned of a voice or face does not help.

    The clips are those of both lists; without the lists, all in ``AudioWAV``, the emotions from
    their names. Whole actors make up the test split, whole others the validation split, each as
    many as give a tenth of the clips or a bit more; ``split_seed`` draws them. Its accuracies are
    not to be compared with published ones.

    Args: as :class:`CREMAD`.

    Raises:
        FileNotFoundError: Once samples are read, if one list is there and the other is not, or
            neither lists nor ``AudioWAV``.
        ValueError: Once samples are read, if there are fewer than three actors.

    Example:
        >>> CREMADSpeakerIndependent("data/cremad", split_seed=1).num_classes
        6
    """

    # Of what the test split leaves.
    own_val_fraction = HELD_OUT / (1 - HELD_OUT)

    def read_samples(self) -> list[Sample]:
        """All clips, the test split's actors drawn; the base draws those of validation."""
        if any((self.root / name).exists() for name in LISTS.values()):
            clips = super().read_samples()
        else:
            clips = list(_list_folder(self.root / "AudioWAV"))
        clips = [clip._replace(split="train", group=clip.id.split("_")[0]) for clip in clips]
        drawn = draw_validation(clips, HELD_OUT, self.split_seed)
        return [clip._replace(split="test") if clip.split == "val" else clip for clip in drawn]


def _sample(name: str, split: str, emotion: str, where: str) -> Sample:
    sources = {"audio": f"AudioWAV/{name}.wav", "visual": f"VideoFlash/{name}.flv"}
    if name in BAD_VIDEO:
        del sources["visual"]
    fault = "its owner calls it bad in every medium" if name == SILENT else ""
    return Sample(name, split, emotion, sources, where=where, fault=fault)


def _read_list(path: Path, split: str) -> Iterator[Sample]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there: get train.csv and test.csv from data/CREMAD of "
            "https://github.com/fanyunfeng-bit/Modal-Imbalance-PMR and put them into root, which "
            "is to be the owner's repository; or use CREMADSpeakerIndependent, which can do without"
        )
    # The published loaders expect a byte order mark, which some copies have.
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if not cells:
                continue
            if len(cells) != 2:
                raise ValueError(f"{where}: {','.join(cells)[:80]!r} is no row name,emotion")
            yield _sample(cells[0], split, cells[1], where)


def _list_folder(folder: Path) -> Iterator[Sample]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is not there: give the owner's repository, which holds it, as root"
        )
    for path in sorted(folder.glob("*.wav")):
        parts = path.stem.split("_")
        if len(parts) != 4:
            raise ValueError(f"{path}: the name is not actor_sentence_emotion_level: remove it")
        yield _sample(path.stem, "train", parts[2], str(path))
