import numpy as np
import pytest
import torch

from fdkd_lightning.data.embedded.watch_file import Recording
from fdkd_lightning.data.embedded.watch_windows import WatchDataset, cut_windows


def test_windows_are_cut_a_step_apart() -> None:
    signal = np.arange(42, dtype=np.float32).reshape(7, 6)
    windows, label, subject = cut_windows([Recording(signal, 5, 2)], window=3, step=2)
    assert windows[:, 0].tolist() == [[0, 6, 12], [12, 18, 24], [24, 30, 36]]
    assert (label.tolist(), subject.tolist()) == ([5] * 3, [2] * 3)
    with pytest.raises(ValueError, match="window=8 is longer than every recording, of at most 7"):
        cut_windows([Recording(signal, 5, 2)], window=8, step=2)


def test_a_sample_has_each_modality_its_label_and_its_number() -> None:
    signal = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    found = WatchDataset({"gyroscope": signal}, np.array([4, -100]), np.array([8, 9]), np.zeros(2))
    assert len(found) == 2
    assert torch.equal(found[1]["gyroscope"], torch.tensor([[6.0, 7.0], [8.0, 9.0], [10.0, 11.0]]))
    assert (found[1]["label"], found[1]["index"]) == (-100, 9)
