"""A cache of a million samples: time to build and open, and memory while it is read at random."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killer import KILLS
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fdkd_lightning.training.cache.build import build_cache
from fdkd_lightning.training.cache.cache_store import CacheStore
from fdkd_lightning.training.cache.settings import TeacherCache
from fdkd_lightning.types import Output

SAMPLES, D, BATCH = 1_000_000, 512, 1024
GIB = 2**30


class Numbers(Dataset[Any]):
    """The binary digits of each sample's number, made a batch at a time."""

    index = torch.arange(SAMPLES)

    def __len__(self) -> int:
        return SAMPLES

    def __getitems__(self, positions: list[int]) -> Any:
        index = self.index[positions]
        bits = (index[:, None] >> torch.arange(20)) & 1
        return {"number": bits.float(), "index": index}


class Data(LightningDataModule):
    """The numbers, without validation."""

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(Numbers(), BATCH, collate_fn=lambda batch: batch)


class Wide(nn.Module):
    """D random features of the digits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(20, D), nn.Linear(D, 10)

    def forward(self, x: Tensor) -> Output:
        features = self.body(x).relu()
        return Output(features, self.head(features))


def anonymous_bytes() -> int:
    """Private memory of this process, without mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def read_at_random(folder: Path) -> None:
    torch.set_num_threads(1)
    start = time.perf_counter()
    store = CacheStore(folder)
    opened = time.perf_counter() - start
    rng, most, start = np.random.default_rng(0), 0, time.perf_counter()
    net = Wide()
    for step in range(4000):
        ids = rng.integers(0, SAMPLES, 64)
        found = store.read(store.find(ids))["features"]
        most = max(most, anonymous_bytes())
        if step % 400 == 0:
            bits = (torch.from_numpy(ids)[:, None] >> torch.arange(20)) & 1
            expected = net(bits.float()).features.detach()
            torch.testing.assert_close(
                torch.from_numpy(found).float(), expected, rtol=2**-10, atol=2**-24
            )
    print(json.dumps([opened, (time.perf_counter() - start) / 4000, most]))


@pytest.mark.skipif(KILLS < 10, reason="takes minutes and 1.1 GB: nox -s kill")
def test_a_million_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = time.perf_counter()
    settings, trainer = TeacherCache(tmp_path, "float16"), Trainer(accelerator="cpu", logger=False)
    folder = build_cache(Wide(), "number", Data(), settings, trainer, progress=False)
    built = time.perf_counter() - start
    # In a process of its own, which has built nothing.
    command = [sys.executable, __file__, str(folder)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    opened, step, most = json.loads(printed)
    size = sum(path.stat().st_size for path in folder.iterdir())
    with capsys.disabled():
        print(
            f"\n{SAMPLES:,} samples, D={D}, float16: {size / GIB:.2f} GiB, built in {built:.0f} s, "
            f"opened in {opened:.2f} s, 64 random rows in {1000 * step:.2f} ms, "
            f"{most / GIB:.2f} GiB of private memory"
        )
    assert opened < 1
    assert most < GIB


if __name__ == "__main__":
    read_at_random(Path(sys.argv[1]))
