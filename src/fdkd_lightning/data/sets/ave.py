"""AVE: events of 28 kinds that are both seen and heard, in clips of ten seconds."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lightning.pytorch.utilities import rank_zero_warn
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
from fdkd_lightning.data.transforms.published_audio import C2KDAVESpectrogram

LISTS = {"train": "trainSet.txt", "val": "valSet.txt", "test": "testSet.txt"}
"""Split -> list, in ``root``."""


class Event(NamedTuple):
    """A row of a list.

    Shape:
        - start, end: seconds after the beginning of the video
        - place: list and line
    """

    split: str
    category: str
    video: str
    start: float
    end: float
    place: str


class AVE(PairedDataModule):
    """AVE as its owner splits it: 3,339 training, 402 validation and 402 test events.

    ``root`` is the owner's ``AVE_Dataset`` (linked from https://github.com/YapengTian/AVE-ECCV18),
    of which it needs ``AVE/*.mp4`` and ``trainSet.txt``, ``valSet.txt`` and ``testSet.txt``, with
    rows ``Category&VideoID&Quality&Start&End``; a header line is passed over, where there is one.
    (``Annotations.txt``, the three together, is not read.)

    A row is a sample: the sound and the frames of the event alone, as in the published codes. A
    video with two events, or with one that has two names, is in two rows, and so two samples. Where
    rows of different splits show the same video (8 of test and 10 of validation are in training
    too) they are kept, as the owner has them, with a warning: :class:`AVEWithoutLeaks` leaves those
    of training out. Left out, with the reason in the manifest, are an event that ends where it
    begins (VWi2ENBuTbw), and a row that is in a list before. An unknown category is an error.

    The classes are in alphabetical order; the owner gives them no numbers.

    Shape:
        - batch["audio"]: [N, 1, 257, 1004], C2KD's spectrogram; sound is kept whole at 16,000 Hz
        - batch["visual"]: [N, 1, 3, 224, 224], one frame of those kept, 1 per second and at least
          10 of an event, as those who share C2KD's folders made them
        - batch["label"]: [N] int64

    Raises:
        FileNotFoundError: Once samples are read, if a list is not there.
        ValueError: Once samples are read, if a row is not of that form.

    Reference:
        Tian et al., "Audio-Visual Event Localization in Unconstrained Videos" (arXiv:1803.08842),
        YapengTian/AVE-ECCV18 data/Annotations.txt; huofushuo/C2KD ave/utils/AVEDataset.py;
        fanyunfeng-bit/Modal-Imbalance-PMR data/AVE/video_preprocessing.py (which cuts out the
        event of both modalities).

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
        """The event's sound, whole, and one frame of it."""
        return {
            "audio": AudioRecipe(rate=16_000, seconds=None),
            "visual": FramesRecipe(fps=1, least=10, count=1),
        }

    def default_transforms(self) -> Mapping[str, nn.Module]:
        """C2KD's spectrogram, and ImageNet's mean and deviation."""
        return {
            "audio": C2KDAVESpectrogram(sample_rate=16_000),
            "visual": v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        }

    def faults(self, events: Sequence[Event]) -> dict[str, str]:
        """Place of a row -> why it is left out."""
        found = {}
        first: dict[Event, str] = {}
        for event in events:
            place = first.setdefault(event._replace(place=""), event.place)
            if place != event.place:
                found[event.place] = f"the same row is {place}"
            elif event.end <= event.start:
                found[event.place] = (
                    f"the event begins at {event.start:g} s and ends at {event.end:g}"
                )
        return found

    def read_samples(self) -> list[Sample]:
        """The rows of the three lists."""
        events = [
            event
            for split, name in LISTS.items()
            for event in _read_list(within(self.root, name), split)
        ]
        faults = self.faults(events)
        kept = leaks(events).keys() - faults.keys()
        if kept:
            rank_zero_warn(
                f"{len(kept)} rows of {self.root} show a video that is in validation or test data "
                "too, as published numbers have it: AVEWithoutLeaks leaves these rows out"
            )
        samples: dict[str, Sample] = {}
        for event in events:
            sample = _sample(event, self.root, faults.get(event.place, ""))
            if sample.id in samples:  # the same row once more, whose fault says so
                sample = sample._replace(id=f"{sample.id}, {event.place}")
            samples[sample.id] = sample
        return list(samples.values())


class AVEWithoutLeaks(AVE):
    """AVE without the rows whose video is in a later split too, in the order train, val, test.

    The manifest has them, with the reason. Test data stays as it is.

    Args: as :class:`AVE`.

    Example:
        >>> AVEWithoutLeaks("data/ave").num_classes
        28
    """

    def faults(self, events: Sequence[Event]) -> dict[str, str]:
        """Those of the owner's lists, and the leaks."""
        return leaks(events) | super().faults(events)


class AVEFirstEvents(AVE):
    """AVE with one event per video and split, the first of its list, as C2KD's loader reads it.

    So 3,312 training, 401 validation and 402 test events are left (less VWi2ENBuTbw).

    Args: as :class:`AVE`.

    Reference:
        huofushuo/C2KD ave/utils/AVEDataset.py. It names files after videos: those of a video with
        two events are the last one's that was written. Here they are the first one's own.

    Example:
        >>> AVEFirstEvents("data/ave").num_classes
        28
    """

    def faults(self, events: Sequence[Event]) -> dict[str, str]:
        """Those of the owner's lists, and further events."""
        found = {}
        first: dict[tuple[str, str], str] = {}
        for event in events:
            place = first.setdefault((event.split, event.video), event.place)
            if place != event.place:
                found[event.place] = f"another event of the video is {place}"
        return found | super().faults(events)


def leaks(events: Sequence[Event]) -> dict[str, str]:
    """Place of a row -> the row of a later split that shows its video.

    Args:
        events: Those of all lists, in the order train, val, test.

    Example:
        >>> events = [Event(split, "Bus", "x", 0, 10, split) for split in ("train", "test")]
        >>> leaks(events)
        {'train': 'its video is in test too'}
    """
    last: dict[str, Event] = {}
    for event in events:
        if event.video not in last or last[event.video].split != event.split:
            last[event.video] = event
    return {
        event.place: f"its video is in {last[event.video].place} too"
        for event in events
        if last[event.video].split != event.split
    }


def _sample(event: Event, root: Path, fault: str) -> Sample:
    split, category, video, start, end, place = event
    path = f"AVE/{video}.mp4"
    return Sample(
        f"{split}:{video}:{start:g}-{end:g}:{category}",
        split,
        category,
        {"audio": path, "visual": path},
        start,
        end - start,
        where=f"{root / place}",
        fault=fault,
    )


def _read_list(path: Path, split: str) -> list[Event]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there: give the owner's AVE_Dataset, which holds the lists and the "
            "videos, as root (it is linked from https://github.com/YapengTian/AVE-ECCV18)"
        )
    events = []
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, 1):
        cells = line.strip().split("&")
        if not line.strip() or (number == 1 and cells[0] == "Category"):
            continue
        place = f"{path.name}, line {number}"
        if len(cells) != 5:
            raise ValueError(
                f"{path.parent / place}: {line[:80]!r} is no row Category&VideoID&Quality&Start&End"
            )
        category, video, _, start, end = cells
        first, last = (_seconds(cell, f"{path.parent / place}") for cell in (start, end))
        events.append(Event(split, category, video, first, last, place))
    return events


def _seconds(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{where}: {text!r} is no number of seconds from the beginning")
    return value
