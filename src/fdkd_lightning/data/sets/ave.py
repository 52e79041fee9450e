"""AVE: 28 classes of audio-visual events in ten-second clips."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn
from torch import nn
from torchvision.transforms import v2

from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.data.preparation.recipe import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ArrayRecipe,
    AudioRecipe,
    FramesRecipe,
    Recipe,
)
from fdkd_lightning.data.preparation.sample import Sample, with_own_ids
from fdkd_lightning.data.sets.ave_events import Event, further_events, leaks, read_events
from fdkd_lightning.data.transforms.published_audio import C2KDAVESpectrogram

LISTS = {"train": "trainSet.txt", "val": "valSet.txt", "test": "testSet.txt"}
"""Split -> file name of its list in ``lists``."""

FRAMES, SPECTROGRAMS = "Image-01-FPS-SE", "Audio-1004-SE"
"""C2KD's folders of the frames and spectrograms of the events alone."""


class AVE(PairedDataModule):
    """AVE with the official splits: 3,339 training, 402 validation and 402 test events.

    ``root`` is the authors' folder ``AVE_Dataset`` (linked from
    https://github.com/YapengTian/AVE-ECCV18). Required are ``AVE/*.mp4`` and the lists
    ``trainSet.txt``, ``valSet.txt`` and ``testSet.txt`` with rows
    ``Category&VideoID&Quality&Start&End`` and an optional header. ``Annotations.txt``, the union of
    the three, is not read.

    Without the folder ``AVE``, what C2KD's users share is read: the frames ``Image-01-FPS-SE/<id>``
    and the spectrograms ``Audio-1004-SE/<id>.pkl``, with :class:`ArrayRecipe` as the recipe of
    ``audio`` and ``torch.nn.Identity`` as its transform. (Nothing that these pickles name is run.)
    They hold one event of each video, so further rows of a video and split are excluded.

    Each row is one sample: the sound and the frames within the event, as in the published code. A
    video with two events, or with one event under two names, gives two samples. Some videos are in
    several splits (8 of the test and 10 of the validation videos are also in training). These rows
    are kept, as in the official splits, with a warning; :class:`AVEWithoutLeaks` excludes them. An
    event of length zero (VWi2ENBuTbw) and repeated rows are excluded, with the reason in the
    manifest. An unknown category is an error. The classes are in alphabetical order; the authors do
    not number them.

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Shape:
        - batch["audio"]: [N, 1, 257, 1004], C2KD's spectrogram of the whole event at 16,000 Hz
        - batch["visual"]: [N, 1, 3, 224, 224], one of the stored frames (1 per second, at least 10
          per event, as in the folders that users of C2KD share)
        - batch["label"]: [N] int64

    Raises:
        FileNotFoundError: When the samples are read, if a list is missing.
        ValueError: When the samples are read, if a row has another form.

    Reference:
        Tian et al., "Audio-Visual Event Localization in Unconstrained Videos" (arXiv:1803.08842),
        YapengTian/AVE-ECCV18 data/Annotations.txt; huofushuo/C2KD ave/utils/AVEDataset.py;
        fanyunfeng-bit/Modal-Imbalance-PMR data/AVE/video_preprocessing.py (which cuts both
        modalities to the event).

    Example:
        >>> data = AVE("data/ave", batch_size=64)
        >>> data.num_classes, data.class_names[:2], data.modalities
        (28, ('Accordion', 'Acoustic guitar'), ('audio', 'visual'))
    """

    class_names = (
        "Accordion",
        "Acoustic guitar",
        "Baby cry, infant cry",
        "Banjo",
        "Bark",
        "Bus",
        "Cat",
        "Chainsaw",
        "Church bell",
        "Clock",
        "Female speech, woman speaking",
        "Fixed-wing aircraft, airplane",
        "Flute",
        "Frying (food)",
        "Goat",
        "Helicopter",
        "Horse",
        "Male speech, man speaking",
        "Mandolin",
        "Motorcycle",
        "Race car, auto racing",
        "Rodents, rats, mice",
        "Shofar",
        "Toilet flush",
        "Train horn",
        "Truck",
        "Ukulele",
        "Violin, fiddle",
    )
    available_modalities = ("audio", "visual")

    def default_recipes(self) -> dict[str, Recipe]:
        """Return the recipes: the whole sound of the event, and one of its frames."""
        return {
            "audio": AudioRecipe(rate=16_000, seconds=None),
            "visual": FramesRecipe(fps=1, least=10, count=1),
        }

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """Return the transforms: C2KD's spectrogram, and ImageNet's mean and standard deviation."""
        return {
            "audio": C2KDAVESpectrogram(sample_rate=16_000),
            "visual": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        }

    def faults(self, events: Sequence[Event]) -> dict[str, str]:
        """Map the place of each excluded row to the reason."""
        found = {}
        first: dict[Event, str] = {}
        for event in events:
            place = first.setdefault(event._replace(place=""), event.place)
            if place != event.place:
                found[event.place] = f"the same row is {place}"
            elif event.end <= event.start:
                found[event.place] = (
                    f"the event begins at {event.start:g} s and ends at {event.end:g} s"
                )
        return found

    def read_samples(self) -> list[Sample]:
        """Read the rows of the three lists."""
        events = [
            event for split, name in LISTS.items() for event in read_events(self._find(name), split)
        ]
        sources = self._sources()
        cut = tuple(name for name, path in sources.items() if not path.startswith("AVE/"))
        # Extracted files are named after videos.
        faults = (further_events(events) if cut else {}) | self.faults(events)
        kept = leaks(events).keys() - faults.keys()
        if kept:
            rank_zero_warn(
                f"{len(kept)} rows of {self.lists} show a video that a later split contains too, "
                "as in the official splits: use AVEWithoutLeaks to exclude these rows"
            )
        return with_own_ids(
            _sample(event, self.lists, sources, cut, faults.get(event.place, ""))
            for event in events
        )

    def _find(self, name: str) -> Path:
        return self.find_list(
            name,
            advice="set root or lists to the authors' AVE_Dataset, which holds the lists and the "
            "videos (linked from https://github.com/YapengTian/AVE-ECCV18)",
        )

    def _sources(self) -> dict[str, str]:
        """Return modality -> path of a video's file, a pattern."""
        sources = dict.fromkeys(("audio", "visual"), "AVE/{}.mp4")
        if not (self.root / "AVE").is_dir():
            if (self.root / FRAMES).is_dir():
                sources["visual"] = f"{FRAMES}/{{}}"
            if (self.root / SPECTROGRAMS).is_dir() and "audio" in self.modalities:
                if not isinstance(self.recipes["audio"], ArrayRecipe):
                    raise ValueError(
                        f"{self.root} has no folder AVE, and its {SPECTROGRAMS} holds pickles of "
                        "spectrograms: set recipes.audio to ArrayRecipe and transforms.audio to "
                        "torch.nn.Identity, or modalities to [visual]"
                    )
                sources["audio"] = f"{SPECTROGRAMS}/{{}}.pkl"
        return sources


class AVEWithoutLeaks(AVE):
    """AVE without the rows whose video is also in a later split (order: train, val, test).

    The excluded rows are in the manifest, with the reason. The test split is unchanged.

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Example:
        >>> AVEWithoutLeaks("data/ave").num_classes
        28
    """

    def faults(self, events: Sequence[Event]) -> dict[str, str]:
        """Map the place of each excluded row, leaks included, to the reason."""
        return leaks(events) | super().faults(events)


class AVEFirstEvents(AVE):
    """AVE with only the first event per video and split, as C2KD's loader reads the lists.

    This leaves 3,312 training, 401 validation and 402 test events (minus VWi2ENBuTbw).

    The arguments are those of :class:`~fdkd_lightning.data.paired.PairedDataModule`.

    Reference:
        huofushuo/C2KD ave/utils/AVEDataset.py. Its files are named after videos, so a video with
        two events has the sound and frames of the event written last. Here they are the first's.

    Example:
        >>> AVEFirstEvents("data/ave").num_classes
        28
    """

    def faults(self, events: Sequence[Event]) -> dict[str, str]:
        """Map the place of each excluded row, further events included, to the reason."""
        return further_events(events) | super().faults(events)


def _sample(
    event: Event, folder: Path, sources: Mapping[str, str], cut: Sequence[str], fault: str
) -> Sample:
    split, category, video, start, end, place = event
    return Sample(
        f"{split}:{video}:{start:g}-{end:g}:{category}",
        split,
        category,
        {modality: path.format(video) for modality, path in sources.items()},
        start,
        end - start,
        where=f"{folder / place}",
        fault=fault,
        cut=cut,
    )
