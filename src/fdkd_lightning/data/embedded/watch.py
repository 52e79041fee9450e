"""Watch: accelerometer and gyroscope of a wrist during shoulder exercises, real and offline."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch.utils.data import Dataset, DistributedSampler

from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.classes import chosen_classes
from fdkd_lightning.data.embedded.watch_file import read_recordings, watch_path
from fdkd_lightning.data.embedded.watch_windows import WatchDataset, cut_windows
from fdkd_lightning.data.labelled_share import LabelledShareSampler
from fdkd_lightning.data.sampling import stratified_order
from fdkd_lightning.ops.checks import check_choice, check_count, check_range
from fdkd_lightning.types import IGNORE_INDEX, Batch

EXERCISES = (
    "pendulum",
    "abduction",
    "forward elevation",
    "internal rotation",
    "external rotation",
    "trapezius extension",
    "upright row",
)
SUBJECTS = frozenset(range(1, 11))
TEST_SUBJECTS = frozenset({7, 8, 9, 10})
"""Fixed, so that no search over methods or settings ever sees them."""
VAL_SUBJECTS = 2
CHANNELS = {"accelerometer": slice(0, 3), "gyroscope": slice(3, 6)}


class Watch(MultimodalDataModule):
    """Accelerometer and gyroscope of one wrist watch: 4,677 pairs of 10 people, 7 exercises.

    Both sensors recorded the same movement at the same time, 50 times a second, so a pair has much
    in common beyond its class. A sample is a window of two seconds; windows begin one second apart.

    No person is in two splits. The test split has the same four people for every seed. The seed
    draws two of the other six for validation; four are left for training. Results of different
    seeds thus share their test data. All values are standardised per channel, by mean and standard
    deviation of the people of the training split.

    Args:
        root: Folder with ``watch_dataset.npy``; None: the installed package ``seglearn``, which the
            extra ``demo`` installs.
        batch_size: Samples per batch and rank.
        eval_batch_size: Samples per batch and rank in evaluation; None: ``batch_size``.
        num_workers: Worker processes of each loader; 0 loads in the main process.
        modalities: ``accelerometer``, ``gyroscope`` or both; None: both.
        seed: Draws the people for validation, the pairs that keep their label, and the order.
        transforms: Modality -> module applied to its batch.
        classes: Names of the exercises to keep, which become the classes 0, 1, ... in this order;
            None: all seven.
        labelled: Number of training pairs with a label, balanced over the classes; -100 for the
            others. None: all.
        labelled_per_class: The same per class; give one of the two.
        labelled_per_batch: Labelled pairs in each training batch, drawn over and over beside the
            others, as is usual where few pairs have a label; None: as chance has it.
        window: Length of a window in samples, 50 a second.
        step: Distance of the beginnings of two windows in samples.
        redrawn_within_class: A modality that in training comes, each time, from a random window of
            the same exercise, known also where a label is hidden: an oracle control, which shows
            what pairs give that share their class alone. None: pairs as recorded.

    Shape:
        - batch["accelerometer"], batch["gyroscope"]: [N, 3, T], T = ``window``
        - batch["label"], batch["index"]: [N] int64

    Raises:
        ValueError: If an argument is out of range or a class is unknown; when data are read, if a
            class is left without labels.
        ImportError: When data are read, if ``seglearn`` is not installed.
        RuntimeError: When data are read, if the file is damaged or was tampered with.

    Reference:
        Burns et al., "Shoulder physiotherapy exercise recognition: machine learning the inertial
        signals from a smartwatch" (arXiv:1802.01489); the recordings come with dmbee/seglearn
        (BSD), which gives accelerations in g and angular velocities in rad/s.

    Example:
        >>> data = Watch(classes=["pendulum", "upright row"], labelled_per_class=2)
        >>> data.num_classes, data.modalities
        (2, ('accelerometer', 'gyroscope'))
    """

    class_names: tuple[str, ...] = EXERCISES
    available_modalities: tuple[str, ...] = tuple(CHANNELS)
    # Not "seed": it draws the people by whom the values are standardised.
    choice_arguments = (*MultimodalDataModule.choice_arguments, "classes")

    def __init__(
        self,
        root: str | Path | None = None,
        batch_size: int = 64,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        modalities: Sequence[str] | None = None,
        seed: int = 0,
        transforms: dict[str, nn.Module] | None = None,
        classes: Sequence[str] | None = None,
        labelled: int | None = None,
        labelled_per_class: int | None = None,
        labelled_per_batch: int | None = None,
        window: int = 100,
        step: int = 50,
        redrawn_within_class: str | None = None,
    ) -> None:
        super().__init__(
            root, batch_size, eval_batch_size, num_workers, modalities, seed, transforms
        )
        self.file_folder = None if root is None else self.root
        self.class_numbers = chosen_classes(EXERCISES, classes)
        self.class_names = tuple(EXERCISES[number] for number in self.class_numbers)
        if labelled is not None and labelled_per_class is not None:
            raise ValueError(
                f"labelled={labelled} and labelled_per_class={labelled_per_class} are given: give "
                "one of them"
            )
        if labelled_per_class is not None:
            check_count("labelled_per_class", labelled_per_class)
            labelled = labelled_per_class * self.num_classes
        if labelled is not None:
            check_range("labelled", labelled, self.num_classes)
        if labelled_per_batch is not None:
            check_count("labelled_per_batch", labelled_per_batch)
            if labelled is None or labelled_per_batch >= batch_size:
                raise ValueError(
                    f"labelled_per_batch={labelled_per_batch} needs labelled or "
                    f"labelled_per_class, and must be below batch_size={batch_size}"
                )
        check_count("window", window)
        check_count("step", step)
        if redrawn_within_class is not None:
            check_choice("redrawn_within_class", redrawn_within_class, self.modalities)
        self.redrawn_within_class = redrawn_within_class
        self.labelled = labelled
        self.labelled_per_batch = labelled_per_batch
        self.window = window
        self.step = step

    @property
    def subjects(self) -> dict[str, frozenset[int]]:
        """The people of each split."""
        others = np.array(sorted(SUBJECTS - TEST_SUBJECTS))
        val = frozenset(
            np.random.default_rng(self.seed).permutation(others)[:VAL_SUBJECTS].tolist()
        )
        return {"train": SUBJECTS - TEST_SUBJECTS - val, "val": val, "test": TEST_SUBJECTS}

    def make_sampler(
        self, dataset: Dataset[Batch], num_replicas: int, rank: int, seed: int
    ) -> DistributedSampler[Any]:
        """Return a sampler with ``labelled_per_batch`` labelled pairs in each batch."""
        if self.labelled_per_batch is None or not isinstance(dataset, WatchDataset):
            return super().make_sampler(dataset, num_replicas, rank, seed)
        has_label = dataset.label != IGNORE_INDEX
        return LabelledShareSampler(
            dataset, num_replicas, rank, seed, has_label, self.labelled_per_batch, self.batch_size
        )

    def groups(self, split: str) -> list[int]:
        """Return the person of each window."""
        dataset = self.datasets[split]
        assert isinstance(dataset, WatchDataset)
        return [*map(int, dataset.subject)]

    def make_dataset(self, split: str) -> "WatchDataset":
        """Cut the windows of a split's people."""
        recordings = read_recordings(watch_path(self.file_folder))
        unknown = {recording.subject for recording in recordings} ^ SUBJECTS
        if unknown:
            raise RuntimeError(
                f"the recordings are not those of the subjects 1 to 10 (different: "
                f"{sorted(unknown)}): install seglearn 1.2"
            )
        windows, label, subject = cut_windows(recordings, self.window, self.step)
        train = windows[np.isin(subject, [*self.subjects["train"]])].astype(np.float64)
        mean, std = train.mean((0, 2), keepdims=True), train.std((0, 2), keepdims=True)
        of_class = np.isin(label, self.class_numbers)
        [rows] = np.nonzero(np.isin(subject, [*self.subjects[split]]) & of_class)
        number = np.full(len(EXERCISES), IGNORE_INDEX)
        number[list(self.class_numbers)] = np.arange(self.num_classes)
        kept = number[label[rows]]
        redrawn = (
            {self.redrawn_within_class: label[rows]}
            if split == "train" and self.redrawn_within_class is not None
            else {}
        )
        if split == "train" and self.labelled is not None:
            if self.labelled > len(rows):
                raise ValueError(f"labelled={self.labelled} exceeds the {len(rows)} training pairs")
            order = stratified_order(kept, self.seed)
            kept[order[self.labelled :]] = IGNORE_INDEX
        empty = [name for k, name in enumerate(self.class_names) if k not in kept]
        if empty:
            raise ValueError(
                f"no labelled {split} window of {', '.join(empty)}: choose other classes, or more "
                "labels"
            )
        values = ((windows[rows] - mean) / std).astype(np.float32)
        inputs = {modality: values[:, CHANNELS[modality]] for modality in self.modalities}
        return WatchDataset(inputs, kept, rows, subject[rows], redrawn)
