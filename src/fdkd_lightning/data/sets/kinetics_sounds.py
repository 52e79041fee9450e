"""Kinetics-Sounds: ten-second clips of 31 actions that one can see and hear."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import nn
from torchvision.transforms import v2

from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.preparation.recipe import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    AudioRecipe,
    FramesRecipe,
    Recipe,
)
from fdkd_lightning.data.preparation.sample import Sample, with_own_ids
from fdkd_lightning.data.sets.vggsound_clips import Clip, faults_of
from fdkd_lightning.data.sets.vggsound_files import index_clips
from fdkd_lightning.data.transforms.published_audio import MMParetoFbank
from fdkd_lightning.files.read_file import read_text

LISTS = {
    "train": ("my_train.txt", "data/KineticSound/my_train.txt", "ks_train_overlap.txt"),
    "test": ("my_test.txt", "data/KineticSound/my_test.txt", "ks_test_overlap.txt"),
}
"""Split -> names of its list: OGM-GE's, or MMPareto's."""

VIDEOS = ("video", "train", "val", "test")
FRAMES = ("train-frames-1fps/train", "val-frames-1fps/test", "Image-01-FPS", "visual")
SOUNDS = ("audio", "train_wav/train", "test_wav/test")


class KineticsSounds(PairedDataModule):
    """Kinetics-Sounds with the lists of OGM-GE or MMPareto: 31 classes, named by their numbers.

    Put ``my_train.txt`` and ``my_test.txt`` (rows ``name,seconds,class``, ``data/KineticSound`` of
    https://github.com/GeWu-Lab/OGM-GE_CVPR2022) or ``ks_train_overlap.txt`` and
    ``ks_test_overlap.txt`` (rows ``name class``) into ``root`` or ``lists``. A name is
    ``<id>_<start>`` or, as in Kinetics, ``<id>_<start>_<end>``. ``root`` holds the clips under
    either name: videos in ``video``, or in the folders ``train``, ``val`` and ``test`` and their
    folders of classes; or frames in ``train-frames-1fps/train`` and ``val-frames-1fps/test``, or
    ``visual``, a folder for each clip, and sounds in ``audio``, or ``train_wav/train`` and
    ``test_wav/test``. Without sounds, they are read from the videos.

    Clips that are no longer on YouTube are recorded as missing: lower ``min_coverage``. A training
    clip whose video is also in the test split, and a repeated row, are excluded, with the reason in
    the manifest. A tenth of the training clips, drawn by whole videos, is the validation split.

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Shape:
        - batch["audio"]: [N, 1, 128, 1024], MMPareto's filter bank
        - batch["visual"]: [N, 3, 3, 224, 224], a frame of each third, cropped independently
        - batch["label"]: [N] int64, the numbers of the lists

    Raises:
        FileNotFoundError: When the samples are read, if a list is missing.
        ValueError: When the samples are read, if a row has another form.

    Reference:
        Arandjelovic and Zisserman, "Look, Listen and Learn" (arXiv:1705.08168);
        GeWu-Lab/OGM-GE_CVPR2022 data/KineticSound; GeWu-Lab/MMPareto_ICML2024.

    Example:
        >>> KineticsSounds("data/kinetics_sounds", min_coverage=0.6).num_classes
        31
    """

    class_names = tuple(map(str, range(31)))
    available_modalities = ("audio", "visual")
    own_val_fraction = 0.1

    def default_recipes(self) -> dict[str, Recipe]:
        """Return the recipes: ten seconds of sound, and three frames."""
        return {
            "audio": AudioRecipe(rate=16_000, seconds=10),
            "visual": FramesRecipe(fps=1, least=3, count=3, per_frame=True),
        }

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """Return the transforms: MMPareto's filter bank, and ImageNet's normalisation."""
        return {
            "audio": MMParetoFbank(sample_rate=16_000),
            "visual": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        }

    def read_samples(self) -> list[Sample]:
        """Read the rows of the two lists."""
        paths = {
            split: self.find_list(
                *names,
                advice="put my_train.txt and my_test.txt from data/KineticSound of "
                "https://github.com/GeWu-Lab/OGM-GE_CVPR2022 into root, or set lists",
            )
            for split, names in LISTS.items()
        }
        clips = [clip for split, path in paths.items() for clip in _read_list(path, split)]
        faults = faults_of(clips)
        classes = (f"{n}/{p.name}" for n in VIDEOS for p in _folders(self.root / n))
        videos = index_clips(self.root, [*VIDEOS, *classes], False, _clip_of)
        visuals = index_clips(self.root, FRAMES, True, _clip_of) | videos
        sounds = videos | index_clips(self.root, SOUNDS, False, _clip_of)
        samples = []
        for clip in clips:
            key, name = (clip.video, clip.start), f"{clip.video}_{clip.start}"
            sources = {
                "audio": sounds.get(key, f"audio/{name}.wav"),
                "visual": visuals.get(key, f"video/{name}.mp4"),
            }
            where = f"{paths[clip.split].parent / clip.place}"
            fault = faults.get(clip.place, "")
            sample = Sample(
                name, clip.split, clip.label, sources, group=clip.video, where=where, fault=fault
            )
            samples.append(sample)
        return with_own_ids(samples)


def _read_list(path: Path, split: str) -> Iterator[Clip]:
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        place = f"{path.name}, line {number}"
        count, parts = (3, line.split(",")) if "," in line else (2, line.split())
        cells = [cell.strip() for cell in parts]
        clip = _clip_of(cells[0].replace("\\", "/").rpartition("/")[2])
        if len(cells) != count or clip is None or not re.fullmatch("[0-9]{1,2}", cells[-1]):
            raise ValueError(
                f"{path.parent / place}: expected name,seconds,class or name class, where name is "
                f"id_start or id_start_end, got {line[:80]!r}"
            )
        yield Clip(*clip, cells[-1], split, place)


def _clip_of(name: str) -> tuple[str, int] | None:
    """Return video and start, in seconds, of the clip that a name means; None: of no clip."""
    found = re.fullmatch(r"(.+?)_(\d{6})_\d{6}(\.\w+)?", name, re.ASCII) or re.fullmatch(
        r"(.+)_(\d+)(\.\w+)?", name, re.ASCII
    )
    return None if found is None else (found[1], int(found[2]))


def _folders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if path.is_dir())
