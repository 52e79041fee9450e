"""The samples of VGGSound, without torch: ``fdkd prepare`` needs no more of its 200,000 rows."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from fdkd_lightning.data.paired_files import PairedFiles
from fdkd_lightning.data.preparation.recipe import AudioRecipe, FramesRecipe, Recipe
from fdkd_lightning.data.preparation.sample import Sample, with_own_ids
from fdkd_lightning.data.sets.vggsound_clips import Clip, check_labels, faults_of, read_list
from fdkd_lightning.data.sets.vggsound_files import find_files

C2KD_LISTS = {"train": "train_tiny.csv", "test": "test_tiny.csv"}
"""Split -> file name of C2KD's list in ``root``."""


class VGGSoundFiles(PairedFiles):
    """The files of :class:`~fdkd_lightning.data.sets.vggsound.VGGSound`.

    Example:
        >>> VGGSoundFiles("data/vggsound").modalities
        ('audio', 'visual')
    """

    available_modalities: tuple[str, ...] = ("audio", "visual")
    own_val_fraction = 0.1

    def default_recipes(self) -> dict[str, Recipe]:
        """Return the recipes: ten seconds of sound, and three frames."""
        return {
            "audio": AudioRecipe(rate=16_000, seconds=10, fill="tile"),
            "visual": FramesRecipe(fps=1, least=3, count=3, per_frame=True),
        }

    def read_clips(self) -> list[Clip]:
        """Read the rows of the list."""
        path = self.find_list(
            "vggsound.csv",
            advice="put it into root, beside the folder video with the clips, or set lists; it is "
            "in data/ of https://github.com/hche11/VGGSound",
        )
        return list(read_list(path))

    def read_samples(self) -> list[Sample]:
        """Return all clips; the excluded ones have the reason as their fault."""
        clips = self.read_clips()
        check_labels(self.lists, clips)
        return with_own_ids(self._samples(clips))

    def _samples(self, clips: Sequence[Clip]) -> Iterator[Sample]:
        faults, files = faults_of(clips), find_files(self.root)
        # Joined once: for each clip it would take longer than all the rest.
        folder = f"{self.lists / '_'}"[:-1]
        for clip in clips:
            video, start, label, split, place = clip
            yield Sample(
                clip.name,
                split,
                label,
                {"audio": files.sound(video, start), "visual": files.video(video, start)},
                group=video,
                where=folder + place,
                fault=faults.get(place, ""),
            )


class VGGSoundC2KDFiles(VGGSoundFiles):
    """The files of :class:`~fdkd_lightning.data.sets.vggsound.VGGSoundC2KD`.

    Example:
        >>> VGGSoundC2KDFiles("data/vggsound").own_val_fraction
        0.1
    """

    def read_clips(self) -> list[Clip]:
        """Read the rows of the two lists."""
        clips: list[Clip] = []
        for split, name in C2KD_LISTS.items():
            path = self.find_list(
                name,
                advice="put train_tiny.csv and test_tiny.csv of vggsound/datasplit.zip "
                "(https://github.com/huofushuo/C2KD) into root, or set lists; or use VGGSound50, "
                "fifty classes that need only vggsound.csv",
            )
            clips += read_list(path, split)
        return clips


class VGGSound50Files(VGGSoundFiles):
    """The files of :class:`~fdkd_lightning.data.sets.vggsound.VGGSound50`.

    Example:
        >>> VGGSound50Files.drawn(["people clapping", "dog barking", "owl hooting"], count=2)
        ['owl hooting', 'people clapping']
    """

    def read_clips(self) -> list[Clip]:
        """Read the rows of the drawn classes."""
        clips = super().read_clips()
        drawn = set(self.drawn({clip.label for clip in clips}))
        return [clip for clip in clips if clip.label in drawn]

    @staticmethod
    def drawn(names: Iterable[str], count: int = 50) -> list[str]:
        """Return the classes with the smallest hashes of their names, in alphabetical order.

        Args:
            names: Names of all classes.
            count: Number of classes to draw.
        """
        return sorted(sorted(set(names), key=_hash)[:count])


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
