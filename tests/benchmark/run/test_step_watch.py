from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from fdkd_lightning.benchmark.run import step_watch
from fdkd_lightning.benchmark.run.step_watch import seconds_per_batch


class Slow(Dataset[torch.Tensor]):
    """Six samples, each of which takes a second of a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: Any) -> torch.Tensor:
        self.now += 1
        return torch.zeros(1)


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Slow:
    data = Slow()
    monkeypatch.setattr(step_watch.time, "perf_counter", lambda: data.now)
    return data


def test_the_loader_alone_is_timed_by_batch(data: Slow) -> None:
    assert seconds_per_batch(DataLoader(data, batch_size=2)) == 2


def test_the_loader_is_not_read_for_ever(data: Slow) -> None:
    assert seconds_per_batch(DataLoader(data, batch_size=1), seconds=1.5) == 1
    assert data.now == 2
