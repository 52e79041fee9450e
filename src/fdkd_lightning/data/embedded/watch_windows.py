"""Windows of recordings, and a data set of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, TensorDataset

from fdkd_lightning.data.embedded.watch_file import Recording
from fdkd_lightning.types import Batch


class WatchDataset(Dataset[Batch]):
    """Windows in memory.

    Args:
        inputs: Modality -> windows.
        label: Their classes; -100: none.
        index: Their numbers in the whole data set.
        subject: The person of each.
        redrawn: Modality -> class of each window, also where ``label`` is -100. Each time a window
            is read, that modality comes from a random window of the same class.

    Shape:
        - inputs[modality]: [N, 3, T] float32
        - label, index, subject, redrawn[modality]: [N] int64

    Example:
        >>> zeros = np.zeros(2, np.int64)
        >>> len(WatchDataset({"gyroscope": np.zeros((2, 3, 5), np.float32)}, zeros, zeros, zeros))
        2
    """

    def __init__(
        self,
        inputs: Mapping[str, NDArray[np.float32]],
        label: NDArray[np.int64],
        index: NDArray[np.int64],
        subject: NDArray[np.int64],
        redrawn: Mapping[str, NDArray[np.int64]] | None = None,
    ) -> None:
        named = {**inputs, "label": label, "index": index}
        self.names = [*named]
        self.tensors = TensorDataset(*(torch.from_numpy(values) for values in named.values()))
        self.label = label
        self.index = index
        self.subject = subject
        self.redrawn = dict(redrawn or {})

    def __len__(self) -> int:
        return len(self.tensors)

    def __getitem__(self, position: int) -> Batch:
        sample = dict(zip(self.names, self.tensors[position], strict=True))
        for modality, classes in self.redrawn.items():
            [same] = np.nonzero(classes == classes[position])
            # torch's generator: each worker has its own seed, and a checkpoint holds its state.
            other = int(same[int(torch.randint(len(same), ()))])
            sample[modality] = self.tensors.tensors[self.names.index(modality)][other]
        return sample


def cut_windows(
    recordings: Sequence[Recording], window: int, step: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Cut recordings into windows, in order; what is left at an end is dropped.

    Args:
        recordings: The recordings.
        window: Length of a window in samples.
        step: Distance of the beginnings of two windows in samples.

    Returns:
        The windows, and the class and the subject of each.

    Raises:
        ValueError: If no recording is as long as a window.

    Shape:
        - output: [N, 6, T] float32, [N] int64, [N] int64

    Example:
        >>> ten = Recording(np.zeros((10, 6), np.float32), label=3, subject=1)
        >>> windows, label, subject = cut_windows([ten], window=4, step=3)
        >>> windows.shape, label.tolist()
        ((3, 6, 4), [3, 3, 3])
    """
    found, label, subject = [], [], []
    for recording in recordings:
        for start in range(0, len(recording.signal) - window + 1, step):
            found.append(recording.signal[start : start + window].T)
            label.append(recording.label)
            subject.append(recording.subject)
    if not found:
        longest = max(len(recording.signal) for recording in recordings)
        raise ValueError(f"window={window} is longer than every recording, of at most {longest}")
    return np.stack(found), np.array(label), np.array(subject)
