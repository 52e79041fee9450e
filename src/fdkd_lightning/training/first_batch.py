"""The first batch of a loader, taken before training without losing it."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Generator
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    WeightedRandomSampler,
    default_collate,
)
from torch.utils.data.dataloader import _DatasetKind

from fdkd_lightning.data.collate import collate

OF_SAMPLES = (default_collate, collate)
"""Collate functions of which any samples make a batch."""

OF_POSITIONS = (SequentialSampler, RandomSampler, DistributedSampler, WeightedRandomSampler)
"""Samplers of positions, of which 0 is always one."""


class KeptLoader:
    """A loader of which one batch was taken; its next pass begins with that batch.

    Example:
        >>> kept = KeptLoader(iter([[1], [2], [3]]))
        >>> kept.first, [*kept]
        ([1], [[1], [2], [3]])
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        with isolate_rng():
            self._rest: Iterator[Any] | None = iter(loader)
            try:
                self.first = next(self._rest)
            except StopIteration:
                raise ValueError(
                    f"{type(loader).__name__} gives no batch: check the data, and drop_last"
                ) from None

    def __iter__(self) -> Iterator[Any]:
        if self._rest is None:
            return iter(self.loader)
        if isinstance(self.loader, DataLoader):
            # A new pass draws the seed of its workers, at once.
            torch.empty((), dtype=torch.int64).random_(generator=self.loader.generator)
        return self._resume()

    def _resume(self) -> Iterator[Any]:
        # Lightning begins a pass that it does not read, to see whether it can.
        if self._rest is None:
            yield from self.loader
            return
        rest, self._rest = self._rest, None
        yield self.first
        yield from rest

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "loader":
            raise AttributeError(name)
        return getattr(self.loader, name)


class FirstBatch:
    """The first batch of each of a stage's loaders, and the loaders that still give it.

    Args:
        loaders: A loader, or several in a dict, list or ``CombinedLoader``.
        together: Whether a step gets a batch of each loader, in the same structure, as in training;
            else the batch is the first loader's.

    Example:
        >>> first = FirstBatch(DataLoader(range(5), batch_size=2))
        >>> first.batch, len(first.loaders)
        (tensor([0, 1]), 3)
    """

    def __init__(self, loaders: Any, together: bool = False) -> None:
        self.loaders = loaders
        if not together:
            flat = CombinedLoader(loaders, "sequential").flattened
            kept, self.batch = _first(flat[0])
            if kept is not flat[0]:
                self.loaders = [kept, *flat[1:]] if len(flat) > 1 else kept
            return
        if isinstance(loaders, CombinedLoader):
            inner, self.batch = _structure(loaders.iterables)
            self.loaders = CombinedLoader(inner, loaders._mode)
        else:
            self.loaders, self.batch = _structure(loaders)


def _structure(loaders: Any) -> tuple[Any, Any]:
    if isinstance(loaders, Mapping):
        pairs = {name: _structure(loader) for name, loader in loaders.items()}
        return {k: pair[0] for k, pair in pairs.items()}, {k: pair[1] for k, pair in pairs.items()}
    if isinstance(loaders, list | tuple):
        parts = [_structure(loader) for loader in loaders]
        return [part[0] for part in parts], [part[1] for part in parts]
    return _first(loaders)


def _first(loader: Any) -> tuple[Any, Any]:
    """Return the loader, or one that still gives its first batch, and that batch."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        kept = KeptLoader(loader)
        # It will be trained on: what is done to the example must not be done to it.
        return kept, copy.deepcopy(kept.first)
    with isolate_rng():
        return loader, _of_samples(loader)


def _of_samples(loader: DataLoader[Any]) -> Any:
    """Return two samples, or the loader's own first batch where two would be no batch."""
    size = len(loader.dataset)  # type: ignore[arg-type]  # has a length if not iterable
    if (
        loader.collate_fn in OF_SAMPLES
        and type(loader.batch_sampler) is BatchSampler
        and isinstance(loader.sampler, OF_POSITIONS)
    ):
        if not size:
            raise ValueError("the data set has no samples: check its folder and its split")
        return loader.collate_fn([loader.dataset[i % size] for i in range(2)])
    generators = [loader.generator, getattr(loader.sampler, "generator", None)]
    states = [(g, g.get_state()) for g in generators if isinstance(g, Generator)]
    try:
        index = next(iter(loader._index_sampler))
    except StopIteration:
        raise ValueError("the loader's sampler gives no sample: check the data") from None
    finally:
        for generator, state in states:
            generator.set_state(state)
    # Here, and not in a worker.
    fetcher = _DatasetKind.create_fetcher(  # type: ignore[no-untyped-call]  # private
        _DatasetKind.Map,
        loader.dataset,
        loader._auto_collation,
        loader.collate_fn,
        loader.drop_last,
    )
    return fetcher.fetch(index)
