"""CREMA-D: six emotions in the voices and faces of actors who speak twelve sentences."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import nn
from torchvision.transforms import v2

from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.preparation.paths import level_hint
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
from fdkd_lightning.files.read_file import csv_rows

LISTS = {"train": "train.csv", "test": "test.csv"}
"""Split -> file name of its list in ``root``."""

HELD_OUT = 0.1
"""Fraction of the clips that becomes the validation split, or a drawn test split."""

SILENT = "1076_MTI_SAD_XX"
"""Clip that the authors' page lists as bad in every medium, although the file decodes."""

VISUALS = ("VideoFlash/{}.flv", "Image-01-FPS/{}", "visual/{}")
"""Paths of a clip's frames: the authors' videos, and the folders of OGM-GE, C2KD and MMPareto."""

BAD_VIDEO = ("1064_IEO_DIS_MD", "1064_TIE_SAD_XX", "1076_MTI_NEU_XX")
"""Clips that the authors' page lists as bad as FLV and MP3, but not as WAV."""


class CREMAD(PairedDataModule):
    """CREMA-D with the published splits: 6,698 training and 744 test clips.

    ``root`` is the authors' repository (https://github.com/CheyneyComputerScience/CREMA-D, 7.6 GB
    with git-LFS). Required are ``AudioWAV/*.wav``, and ``VideoFlash/*.flv`` or else the folders of
    frames that published code extracts, ``Image-01-FPS/<clip>`` or ``visual/<clip>``. The authors
    define no splits. Put the lists ``train.csv`` and ``test.csv`` of OGM-GE and later work into
    ``root``, for instance from ``data/CREMAD`` of
    https://github.com/fanyunfeng-bit/Modal-Imbalance-PMR. Their rows are ``name,emotion``, without
    a header.

    The lists have no validation split, and published code chooses the epoch on test data. Here a
    tenth of the training clips, stratified by emotion and drawn by ``split_seed``, is the
    validation split; about 6,030 training clips remain. All 91 actors are in all splits; see
    :class:`CREMADSpeakerIndependent` for disjoint actors.

    The clip 1076_MTI_SAD_XX, which the authors list as bad in every medium, is excluded, and so are
    the frames of 1064_IEO_DIS_MD, 1064_TIE_SAD_XX and 1076_MTI_NEU_XX. (Some of these files decode,
    but show something else.) Damaged files and git-LFS stubs are excluded too. The manifest holds
    the reasons. A clip that is listed twice and an unknown emotion are errors.

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Shape:
        - batch["audio"]: [N, 1, 257, 1004], the reproduction's spectrogram; whole clips are stored
          at 16,000 Hz, the original rate, so that another ``transforms`` entry can replace it
        - batch["visual"]: [N, 1, 3, 224, 224], one of the stored frames (1 per second, at least 3)
        - batch["label"]: [N] int64; NEU, HAP, SAD, FEA, DIS, ANG are 0 to 5

    Raises:
        FileNotFoundError: When the samples are read, if a list is missing.
        ValueError: When the samples are read, if a row has another form.

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
        """Return the recipes: the whole sound of a clip, and one frame."""
        return {
            "audio": AudioRecipe(rate=16_000, seconds=None),
            "visual": FramesRecipe(fps=1, least=3, count=1),
        }

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """Return the transforms: the reproduction's spectrogram, and ImageNet's normalisation."""
        return {
            "audio": FDCMKDSpectrogram(sample_rate=16_000),
            "visual": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        }

    def read_samples(self) -> list[Sample]:
        """Read the rows of the two lists."""
        return [sample for split, name in LISTS.items() for sample in self._read_list(name, split)]

    def _read_list(self, name: str, split: str) -> Iterator[Sample]:
        path = self.find_list(
            name,
            f"data/CREMAD/{name}",
            advice="put train.csv and test.csv from data/CREMAD of "
            "https://github.com/fanyunfeng-bit/Modal-Imbalance-PMR into root, the authors' "
            "repository, or set lists; or use CREMADSpeakerIndependent, which does not need them",
        )
        visual = _visual(self.root)
        for line, cells in csv_rows(path):
            where = f"{path}, line {line}"
            if len(cells) != 2:
                raise ValueError(f"{where}: expected name,emotion, got {','.join(cells)[:80]!r}")
            yield _sample(cells[0].strip(), split, cells[1], where, visual)


class CREMADSpeakerIndependent(CREMAD):
    """CREMA-D with disjoint actors in the splits, so that knowing a voice or a face does not help.

    The clips are those of both lists. Without the lists they are all files in ``AudioWAV``, with
    the emotions in their names. ``split_seed`` draws whole actors for the test split and others for
    the validation split, until each has at least a tenth of the clips. Accuracies are not
    comparable with published ones.

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Raises:
        FileNotFoundError: When the samples are read, if only one of the lists exists, or neither
            the lists nor ``AudioWAV``.
        ValueError: When the samples are read, if there are fewer than three actors, or a row or
            file name has another form.

    Example:
        >>> CREMADSpeakerIndependent("data/cremad", split_seed=1).num_classes
        6
    """

    # Fraction of the clips that remain after the test split.
    own_val_fraction = HELD_OUT / (1 - HELD_OUT)

    def read_samples(self) -> list[Sample]:
        """Read all clips and draw the test actors; the base class draws the validation actors."""
        if any((self.lists / name).exists() for name in LISTS.values()):
            clips = super().read_samples()
        else:
            clips = list(_list_folder(self.root))
        clips = [clip._replace(split="train", group=clip.id.split("_")[0]) for clip in clips]
        drawn = draw_validation(clips, HELD_OUT, self.split_seed)
        return [clip._replace(split="test") if clip.split == "val" else clip for clip in drawn]


def _visual(root: Path) -> str:
    """Return the path of a clip's frames, a pattern, in the first of the folders that exist."""
    existing = (path for path in VISUALS if (root / path).parent.is_dir())
    return next(existing, VISUALS[0])


def _sample(name: str, split: str, emotion: str, where: str, visual: str) -> Sample:
    sources = {"audio": f"AudioWAV/{name}.wav", "visual": visual.format(name)}
    if name in BAD_VIDEO:
        del sources["visual"]
    fault = "the authors list it as bad in every medium" if name == SILENT else ""
    return Sample(name, split, emotion, sources, where=where, fault=fault)


def _list_folder(root: Path) -> Iterator[Sample]:
    folder = root / "AudioWAV"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is missing{level_hint(root, ['AudioWAV'])}: set root to the authors' "
            "repository, which holds it"
        )
    visual = _visual(root)
    for path in sorted(folder.glob("*.wav")):
        parts = path.stem.split("_")
        if len(parts) != 4:
            raise ValueError(f"{path}: name is not actor_sentence_emotion_level: remove the file")
        yield _sample(path.stem, "train", parts[2], str(path), visual)
