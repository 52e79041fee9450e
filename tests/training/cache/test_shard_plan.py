import pytest
from recordings import Pairs
from torch.utils.data import DataLoader, IterableDataset

from fdkd_lightning.training.cache.shard_plan import (
    MOST_ROWS,
    Section,
    ShardPlan,
    plan_shards,
    rows_per_shard,
    sections_of,
)


def ready(**arguments: bool) -> Pairs:
    data = Pairs(**arguments)
    data.setup("fit")
    return data


def test_sections_are_training_and_validation_and_views_are_of_training() -> None:
    found = [(s.split, s.view, len(s.dataset)) for s in sections_of(ready(), 0)]
    assert found == [("train", 0, 22), ("val", 0, 6)]
    found = [(s.split, s.view, len(s.dataset)) for s in sections_of(ready(), 2)]
    assert found == [("train", 1, 22), ("train", 2, 22), ("val", 0, 6)]


def test_views_that_the_data_set_draws_are_read_by_epoch() -> None:
    first, second, val = sections_of(ready(drawn=True), 2)
    assert (first.item(3), second.item(3), val.item(3)) == ((0, 3), (1, 3), 3)
    assert sections_of(ready(drawn=True), 0)[0].item(3) == 3
    assert sections_of(ready(), 1)[0].item(3) == 3


def test_shards_cover_each_section_once_and_none_is_of_two() -> None:
    sections = sections_of(ready(), 2)
    shards = plan_shards(sections, 8)
    assert [shard.number for shard in shards] == [*range(len(shards))]
    for section in sections:
        parts = [(s.start, s.stop) for s in shards if s.section == section]
        assert [p for start, stop in parts for p in range(start, stop)] == [
            *range(len(section.dataset))
        ]


def test_all_batches_have_one_size() -> None:
    shard = ShardPlan(0, Section("train", 0, DataLoader(range(7)), False), 3, 7)  # type: ignore[arg-type]  # a range has items
    assert shard.batches(3) == [[3, 4, 5], [6, 0, 1]]
    tiny = ShardPlan(0, Section("train", 0, DataLoader(range(2)), False), 0, 2)  # type: ignore[arg-type]  # a range has items
    assert tiny.batches(5) == [[0, 1, 0, 1, 0]]


def test_a_shard_is_bounded_in_rows_and_bytes() -> None:
    assert rows_per_shard(1, 64) == MOST_ROWS
    assert rows_per_shard(2**20, 10) == 60
    assert rows_per_shard(2**30, 10) == 10


def test_loaders_that_cannot_be_read_by_position_are_refused() -> None:
    class Stream(IterableDataset[int]):
        def __iter__(self):  # type: ignore[no-untyped-def]  # an empty stream
            return iter(())

    data = ready()
    data.train_dataloader = lambda: DataLoader(Stream())  # type: ignore[method-assign,assignment,arg-type,return-value]  # another loader
    with pytest.raises(TypeError, match=r"the train loader of Pairs .* read by position"):
        sections_of(data, 0)
    data.train_dataloader = lambda: DataLoader([])  # type: ignore[method-assign,assignment,arg-type,return-value]  # another loader
    with pytest.raises(ValueError, match="Pairs has no training samples"):
        sections_of(data, 0)
