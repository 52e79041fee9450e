"""Cost of the loss against its sizes, and of reading a teacher cache against its size."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fdkd_lightning.benchmark.cases.case import Case
from fdkd_lightning.benchmark.cases.loss import LossPair
from fdkd_lightning.benchmark.measure import Limits, measure
from fdkd_lightning.benchmark.row import Row, timed_rows
from fdkd_lightning.benchmark.run.stand_in_cache import write_stand_in
from fdkd_lightning.training.cache.cache_store import CacheStore
from fdkd_lightning.types import Output

WIDTHS, BATCHES, SIDES = (128, 256, 512, 1024, 2048, 4096), (8, 32, 128, 512), (7, 14, 28, 56)
ROWS = (1_000, 10_000, 100_000)
READ = 64
"""Rows that are read at once."""


def measure_curve(name: str, shapes: tuple[tuple[int, ...], ...], limits: Limits) -> list[Row]:
    """Time forward and backward pass of FDKDLoss at several shapes."""
    runs = {"x".join(map(str, shape)): LossPair(shape).fused for shape in shapes}
    return timed_rows("curves", name, measure(runs, limits), {})


def measure_cache(rows: tuple[int, ...], limits: Limits) -> list[Row]:
    """Time reading rows at random from caches of several sizes, of vectors of 512."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {}
        for count in rows:
            output = Output(torch.zeros(count, 512), torch.zeros(count, 10))
            path = Path(folder, str(count))
            write_stand_in(path, output, maps=False)
            rng = np.random.default_rng(0)
            runs[f"{count:,} samples"] = partial(_read, CacheStore(path), rng, count)
        return timed_rows("curves", f"{READ} rows of a cache", measure(runs, limits), {})


def _read(store: CacheStore, rng: np.random.Generator, count: int) -> None:
    store.read(store.find(rng.integers(count, size=READ)))


CASE = Case(
    "curves",
    "Forward and backward pass of FDKDLoss against channels, batch and map; reading a batch from a "
    "teacher cache against the number of its samples.",
    (
        partial(measure_curve, "channels, with heads", tuple((64, d) for d in WIDTHS)),
        partial(measure_curve, "batch, with heads", tuple((n, 512) for n in BATCHES)),
        partial(measure_curve, "map", tuple((8, 64, side, side) for side in SIDES)),
        partial(measure_cache, ROWS),
    ),
)
