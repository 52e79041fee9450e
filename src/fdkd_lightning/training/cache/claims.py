"""Build the shards of a teacher cache that no other process is building."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch.utils.data import DataLoader

from fdkd_lightning.training.cache.fingerprint import sample_keys
from fdkd_lightning.training.cache.shard import write_shard
from fdkd_lightning.training.cache.shard_plan import Section, ShardPlan
from fdkd_lightning.training.cache.teacher_run import Rows, TeacherRun

PAUSE = 0.2
"""Seconds between looks at what other processes are building."""


class Claims:
    """Batches of the shards of a section that this process builds; others' shards are left out."""

    def __init__(self, shards: Sequence[ShardPlan], folder: Path, batch_size: int) -> None:
        self.shards, self.folder, self.batch_size = shards, folder, batch_size
        self.claimed: deque[tuple[ShardPlan, FileLock]] = deque()

    def __iter__(self) -> Iterator[list[Any]]:
        for shard in self.shards:
            path = self.folder / shard.name
            lock = FileLock(self.folder / f".{shard.name}.lock")
            if path.is_file():
                continue
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            if path.is_file():
                lock.release()
                continue
            self.claimed.append((shard, lock))
            yield from shard.batches(self.batch_size)


def build_shards(
    run: TeacherRun, shards: Sequence[ShardPlan], folder: Path, batch_size: int, bar: Any
) -> None:
    """Build the shards that no other process builds, and wait for the others."""
    while missing := [shard for shard in shards if not (folder / shard.name).is_file()]:
        bar.n = sum(s.stop - s.start for s in shards) - sum(s.stop - s.start for s in missing)
        bar.refresh()
        built = False
        # One loader per section: a new one starts its workers.
        for section in dict.fromkeys((s.section.split, s.section.view) for s in missing):
            own = [s for s in missing if (s.section.split, s.section.view) == section]
            built |= _build_section(run, Claims(own, folder, batch_size), bar)
        if not built:
            time.sleep(PAUSE)


def _build_section(run: TeacherRun, claims: Claims, bar: Any) -> bool:
    section, built = claims.shards[0].section, False
    rows: list[Rows] = []
    try:
        for batch in batch_loader(section, claims):
            shard, lock = claims.claimed[0]
            number = shard.start // claims.batch_size + len(rows)
            rows.append(run(batch, section.view, seed=100_003 * section.view + number))
            bar.update(min(claims.batch_size, shard.stop - shard.start - _count(rows[:-1])))
            if _count(rows) >= shard.stop - shard.start:
                _write(claims.folder / shard.name, shard, rows, run)
                claims.claimed.popleft()
                lock.release()
                rows, built = [], True
    finally:
        for _, lock in claims.claimed:
            lock.release()
    return built


def _count(rows: Sequence[Rows]) -> int:
    return sum(len(part.ids) for part in rows)


def batch_loader(section: Section, batches: Any, workers: int | None = None) -> DataLoader[Any]:
    """Return a loader of these batches of a section's items; None: as many workers as given."""
    given = section.loader
    return DataLoader(
        section.dataset,
        batch_sampler=batches,
        collate_fn=given.collate_fn,
        num_workers=given.num_workers if workers is None else workers,
        worker_init_fn=given.worker_init_fn,
        pin_memory=given.pin_memory,
        generator=torch.Generator().manual_seed(0),
    )


def _write(path: Path, shard: ShardPlan, rows: Sequence[Rows], run: TeacherRun) -> None:
    size = shard.stop - shard.start
    names = rows[0].outputs
    outputs = {name: np.concatenate([r.outputs[name] for r in rows])[:size] for name in names}
    index = np.concatenate([part.ids for part in rows])[:size]
    present = np.concatenate([part.present for part in rows])[:size]
    positions = range(shard.start, shard.stop)
    identity = {
        "view": shard.section.view,
        "computed": rows[0].computed,
        "optional": rows[0].optional,
        **({"classes": rows[0].classes} if rows[0].classes else {}),
    }
    keys = sample_keys(shard.section.dataset, run.modality, positions)
    write_shard(path, outputs, index, keys, present, identity)
