import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, SequentialSampler

from fdkd_lightning.training.first_batch import FirstBatch, KeptLoader


class Once(IterableDataset[int]):
    """A stream that can be read only once, as of a socket."""

    def __init__(self, size: int) -> None:
        self.numbers = iter(range(size))

    def __iter__(self) -> Iterator[int]:
        return self.numbers


class Named(Dataset[Any]):
    """Samples with keys instead of positions."""

    def __getitem__(self, key: str) -> Any:
        return ord(key)

    def __len__(self) -> int:
        return 3


class Whole(Dataset[Any]):
    """Makes whole batches itself."""

    def __getitem__(self, positions: list[int]) -> Any:
        return torch.tensor(positions) * 10

    def __len__(self) -> int:
        return 6


def whole(samples: list[int]) -> torch.Tensor:
    assert len(samples) == 3
    return torch.tensor(samples)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_that_can_be_read_once_loses_nothing(workers: int) -> None:
    loader = DataLoader(Once(7), batch_size=2, num_workers=workers)
    first = FirstBatch(loader, together=True)
    assert first.batch.tolist() == [0, 1]
    iter(first.loaders)  # as Lightning does, to see whether it can
    assert torch.cat([*first.loaders]).tolist() == [*range(7)]
    assert first.loaders.dataset is loader.dataset


def test_a_stream_without_batches_and_any_iterable_lose_nothing() -> None:
    first = FirstBatch(DataLoader(Once(3), batch_size=None), together=True)
    assert [first.batch, *first.loaders] == [0, 0, 1, 2]
    kept = KeptLoader(range(3))
    assert [*kept] == [*kept] == [0, 1, 2]
    assert len(kept) == 3
    with pytest.raises(ValueError, match="gives no batch"):
        KeptLoader([])


@pytest.mark.parametrize(
    ("loader", "batch"),
    [
        (DataLoader(range(9), batch_size=4), [0, 1]),  # type: ignore[arg-type]
        (DataLoader(range(9), batch_size=3, collate_fn=whole), [0, 1, 2]),  # type: ignore[arg-type]
        (DataLoader(Named(), batch_size=2, sampler=["c", "a", "b"]), [99, 97]),
        (
            DataLoader(Whole(), None, sampler=BatchSampler(SequentialSampler(Whole()), 4, False)),
            [0, 10, 20, 30],
        ),
        (DataLoader([torch.arange(3)], batch_size=None), [0, 1, 2]),  # type: ignore[arg-type]
    ],
    ids=["samples", "whole collate", "keys", "whole batches", "batches"],
)
def test_the_batch_is_the_loaders_own(loader: DataLoader[Any], batch: list[int]) -> None:
    first = FirstBatch(loader)
    assert first.batch.tolist() == batch
    assert first.loaders is loader


def test_several_loaders_keep_their_structure() -> None:
    a, b = (DataLoader(Once(4), batch_size=2) for _ in range(2))
    first = FirstBatch({"a": a, "b": [b]}, together=True)
    assert first.batch["a"].tolist() == first.batch["b"][0].tolist() == [0, 1]
    assert torch.cat([*first.loaders["b"][0]]).tolist() == [0, 1, 2, 3]


def test_no_generator_moves() -> None:
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(range(8), 2, shuffle=True, generator=generator, collate_fn=torch.tensor)  # type: ignore[arg-type]
    states = generator.get_state(), torch.get_rng_state()
    FirstBatch(loader)
    assert torch.equal(generator.get_state(), states[0])
    assert torch.equal(torch.get_rng_state(), states[1])


def test_the_example_is_a_copy_of_what_is_trained_on() -> None:
    first = FirstBatch(DataLoader(Once(4), batch_size=2), together=True)
    first.batch.add_(100)
    assert torch.cat([*itertools.islice(first.loaders, 1)]).tolist() == [0, 1]
