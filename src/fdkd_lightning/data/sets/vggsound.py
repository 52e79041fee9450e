"""VGGSound: clips of ten seconds from YouTube, in which what sounds is seen."""

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

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
from fdkd_lightning.data.transforms.published_audio import OGMVGGSoundSpectrogram

C2KD_LISTS = {"train": "train_tiny.csv", "test": "test_tiny.csv"}
"""Split -> C2KD's list, in ``root``."""


class Clip(NamedTuple):
    """A row of a list.

    Shape:
        - start: where the clip begins in its video, seconds; part of its file's name
        - place: list and line
    """

    video: str
    start: int
    label: str
    split: str
    place: str

    @property
    def name(self) -> str:
        """Name of the clip's files, without its ending."""
        return f"{self.video}_{self.start:06d}"


class VGGSound(PairedDataModule):
    """VGGSound as its owner splits it: 309 classes, 183,730 training and 15,446 test clips.

    ``root`` holds the owner's list ``vggsound.csv`` (rows ``id,start,label,split``, no header) and
    ``video/<id>_<start, six digits>.mp4``, the clips already cut out. That is how the owner's
    archives hold them, some folders down: unpack each there, with
    ``tar --strip-components=6 -xf vggsound_00.tar.gz -C root``. Where ``root`` has a folder
    ``audio``, sound comes from its ``<id>_<start, six digits>.wav``, as the owner's
    ``preprocess_audio.py`` writes them; otherwise from the MP4 files.

    Clips that YouTube no longer has are recorded as missing, and left out. Who downloads them anew
    may well lack more than a tenth: lower ``min_coverage`` to go on, and report the counts that
    ``prepare`` prints with your results.

    The list has 199,467 rows, 291 more than the owner has clips. A clip counts once, by its first
    row. Many a video gives several clips: they stay together when the validation split, a tenth of
    the training clips, is drawn, and a training clip whose video is in the test split too is left
    out. The manifest has the reasons. Clips of three frames or fewer, at one a second, which C2KD
    leaves out, are kept; where there are less than three, one is taken twice.

    Shape:
        - batch["audio"]: [N, 1, 129, 626], the published spectrogram of 5 of the 10 seconds, any
          in training and the middle ones otherwise; the published codes draw them in tests too
        - batch["visual"]: [N, 3, 3, 224, 224], a frame of each third, cropped each by itself
        - batch["label"]: [N] int64, the labels that occur in the list, in alphabetical order

    Raises:
        FileNotFoundError: Once samples are read, if a list is not there.
        ValueError: Once samples are read, if a row is not of that form, or a label is in one of
            the splits alone.

    Reference:
        Chen et al., "VGGSound: A Large-scale Audio-Visual Dataset" (arXiv:2004.14368),
        hche11/VGGSound (issue 19: the list's rows; issue 9: the archives). Inputs:
        GeWu-Lab/OGM-GE_CVPR2022 dataset/VGGSoundDataset.py; huofushuo/C2KD
        vggsound/utils/VGGSoundDataset.py.

    Example:
        >>> data = VGGSound("data/vggsound", batch_size=64, min_coverage=0.7)
        >>> data.modalities
        ('audio', 'visual')
    """

    available_modalities = ("audio", "visual")
    own_val_fraction = 0.1

    def default_recipes(self) -> dict[str, Recipe]:
        """Ten seconds of sound, and three frames."""
        return {
            "audio": AudioRecipe(rate=16_000, seconds=10, fill="tile"),
            "visual": FramesRecipe(fps=1, least=3, count=3, per_frame=True),
        }

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """OGM-GE's spectrogram, and ImageNet's mean and deviation."""
        return {
            "audio": OGMVGGSoundSpectrogram(sample_rate=16_000, evaluation="center"),
            "visual": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        }

    def read_clips(self) -> list[Clip]:
        """The rows of the list."""
        path = within(self.root, "vggsound.csv")
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is not there: get it from data/ of https://github.com/hche11/VGGSound and "
                "put it into root, beside the folder video with the clips"
            )
        return list(_read_list(path))

    def read_samples(self) -> list[Sample]:
        """The clips, those that are not to be used with the reason."""
        clips = self.read_clips()
        _check_labels(self.root, clips)
        faults = _faults(clips)
        wav = (self.root / "audio").is_dir()
        samples: dict[str, Sample] = {}
        for clip in clips:
            video = f"video/{clip.name}.mp4"
            sample = Sample(
                clip.name,
                clip.split,
                clip.label,
                {"audio": f"audio/{clip.name}.wav" if wav else video, "visual": video},
                group=clip.video,
                where=f"{self.root / clip.place}",
                fault=faults.get(clip.place, ""),
            )
            if sample.id in samples:  # the same clip once more, whose fault says so
                sample = sample._replace(id=f"{sample.id}, {clip.place}")
            samples[sample.id] = sample
        return list(samples.values())


class VGGSoundC2KD(VGGSound):
    """The 50 classes that C2KD chose, and FD-CMKD most likely: 25,835 training, 2,500 test clips.

    Put ``train_tiny.csv`` and ``test_tiny.csv`` of C2KD's ``vggsound/datasplit.zip`` into ``root``,
    which is otherwise that of :class:`VGGSound`; the owner's list is not needed. A class has 149 to
    1,000 training clips and 50 of test. C2KD chooses the epoch on test data; here a tenth of the
    training clips is validation data.

    Args: as :class:`VGGSound`.

    Reference:
        Huo et al., "C2KD: Bridging the Modality Gap for Cross-Modal Knowledge Distillation" (CVPR
        2024), huofushuo/C2KD vggsound/datasplit.zip, vggsound/utils/VGGSoundDataset.py.

    Example:
        >>> VGGSoundC2KD("data/vggsound").own_val_fraction
        0.1
    """

    def read_clips(self) -> list[Clip]:
        """The rows of the two lists."""
        clips: list[Clip] = []
        for split, name in C2KD_LISTS.items():
            path = within(self.root, name)
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path} is not there: unpack vggsound/datasplit.zip of "
                    "https://github.com/huofushuo/C2KD and put its train_tiny.csv and "
                    "test_tiny.csv into root; or use VGGSound50, fifty classes that need the "
                    "owner's vggsound.csv alone"
                )
            clips += _read_list(path, split)
        return clips


class VGGSound50(VGGSound):
    """Fifty of the classes, drawn from their names, with all their clips.

    For those who lack C2KD's lists. Numbers are not to be compared with published ones. What is
    drawn depends neither on the list's order nor on what was downloaded.

    Args: as :class:`VGGSound`.

    Example:
        >>> VGGSound50.drawn(["people clapping", "dog barking", "owl hooting"], count=2)
        ['owl hooting', 'people clapping']
    """

    def read_clips(self) -> list[Clip]:
        """The owner's rows of the drawn classes."""
        clips = super().read_clips()
        drawn = set(self.drawn({clip.label for clip in clips}))
        return [clip for clip in clips if clip.label in drawn]

    @staticmethod
    def drawn(names: Iterable[str], count: int = 50) -> list[str]:
        """Those of the classes whose names' hashes are the least, in alphabetical order."""
        return sorted(sorted(set(names), key=_lot)[:count])


def _lot(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def _check_labels(root: Path, clips: Sequence[Clip]) -> None:
    """Raise at a label that is in one split alone: a slip would be a class, and number others anew.

    The owner's classes are those that occur; each has clips in both splits.
    """
    splits: dict[str, set[str]] = {}
    for clip in clips:
        splits.setdefault(clip.label, set()).add(clip.split)
    for clip in clips:
        if len(splits[clip.label]) == 1:
            raise ValueError(
                f"{root / clip.place}: label {clip.label!r} is in the {clip.split} split alone, "
                "which no class of the set is: mend it"
            )


def _faults(clips: Sequence[Clip]) -> dict[str, str]:
    """Place of a row -> why it is left out."""
    tested = {clip.video: clip.place for clip in reversed(clips) if clip.split == "test"}
    first: dict[str, str] = {}
    faults = {}
    for clip in clips:
        if clip.split == "train" and clip.video in tested:
            faults[clip.place] = f"its video is in the test split too: {tested[clip.video]}"
            continue
        place = first.setdefault(clip.name, clip.place)
        if place != clip.place:
            faults[clip.place] = f"the same clip is {place}"
    return faults


def _read_list(path: Path, split: str | None = None) -> Iterator[Clip]:
    """The rows of a list; with ``split`` all are of that one, and the rows need name none."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        for cells in reader:
            if not cells:
                continue
            place = f"{path.name}, line {reader.line_num}"
            if len(cells) not in (3, 4) or (split is None and len(cells) == 3):
                raise ValueError(
                    f"{path.parent / place}: {','.join(cells)[:80]!r} is no row "
                    f"{'id,start,label,split' if split is None else 'id,start,label'}"
                )
            video, start, label = cells[:3]
            if not (start.isascii() and start.isdigit()):
                raise ValueError(
                    f"{path.parent / place}: start {start!r} is no whole number of seconds "
                    "(the owner's list has no header)"
                )
            yield Clip(video, int(start), label, split or cells[3], place)
