import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from recordings import Pairs, Recordings, Teacher, build

from fdkd_lightning.training.cache import build as room
from fdkd_lightning.training.cache.cache_store import MANIFEST, CacheStore
from fdkd_lightning.types import Batch, Output


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "rows_per_shard", lambda row_bytes, batch_size: 2 * batch_size)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_teacher_runs_once_over_the_samples(tmp_path: Path) -> None:
    net = Teacher()
    folder = build(tmp_path, network=net)
    # 22 samples in batches of 4 and 6 of 4 are 6 and 2; one batch is measured before.
    assert net.calls == 9
    assert build(tmp_path, network=net) == folder
    assert net.calls == 9
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert [shard.rows for shard in CacheStore(folder).shards] == [8, 8, 6, 6]


def test_the_order_of_random_numbers_is_left_as_it_was(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    build(tmp_path, Pairs(drawn=True), views=1)
    assert torch.equal(torch.get_rng_state(), before)


class Dies(Teacher):
    """Fails in a call."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last = last

    def forward(self, x: Any) -> Output:
        if self.calls == self.last:
            raise RuntimeError("died")
        return super().forward(x)


Dies.__module__, Dies.__qualname__ = Teacher.__module__, Teacher.__qualname__
Dies.__name__ = Teacher.__name__


@pytest.mark.parametrize("last", [0, 2, 4, 7])
def test_a_build_that_ended_early_goes_on_with_the_same_bytes(tmp_path: Path, last: int) -> None:
    whole = build(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="died"):
        build(tmp_path / "cut", network=Dies(last))
    [folder] = (tmp_path / "cut").iterdir()
    assert not (folder / MANIFEST).exists()
    net = Teacher()
    assert build(tmp_path / "cut", network=net).name == whole.name
    assert net.calls == 8 + (last == 0) - 2 * max((last - 1) // 2, 0)
    assert contents(folder) == contents(whole)


def test_a_deleted_shard_is_made_again(tmp_path: Path) -> None:
    folder = build(tmp_path)
    expected = contents(folder)
    (folder / MANIFEST).unlink()
    (folder / "shard-00001.safetensors").unlink()
    net = Teacher()
    build(tmp_path, network=net)
    assert net.calls == 2
    assert contents(folder) == expected


def test_two_builders_at_once_share_the_work(tmp_path: Path) -> None:
    expected = contents(build(tmp_path / "one"))
    nets, barrier = (Teacher(), Teacher()), threading.Barrier(2)

    def together(net: Teacher) -> None:
        barrier.wait()
        build(tmp_path / "two", network=net)

    threads = [threading.Thread(target=together, args=(net,)) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    [folder] = (tmp_path / "two").iterdir()
    assert contents(folder) == expected
    assert sum(net.calls for net in nets) == 9


def test_what_changes_the_outputs_makes_another_cache(tmp_path: Path) -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {"network": Teacher(seed=1)},
        {"data": Pairs(gain=2.0)},
        {"data": Pairs(size=21)},
        {"dtype": "float16"},
        {"maps": True},
        {"views": 1},
    ]
    assert len({build(tmp_path, **kind) for kind in kinds}) == len(kinds)
    assert build(tmp_path, Pairs(batch_size=11)) == build(tmp_path)


class Repeated(Pairs):
    """Ids that are unique within a split, or not even there."""

    def __init__(self, within: bool) -> None:
        super().__init__()
        self.within = within

    def make_dataset(self, split: str) -> Recordings:
        dataset = super().make_dataset(split)
        size = len(dataset)
        dataset.index = torch.arange(size) if self.within else torch.zeros(size, dtype=torch.int64)
        return dataset


def test_ids_that_are_not_unique_are_refused_or_leave_validation_out(tmp_path: Path) -> None:
    assert CacheStore(build(tmp_path, Repeated(True))).manifest.splits == ("train",)
    with pytest.raises(ValueError, match="22 training samples have index=0"):
        build(tmp_path, Repeated(False))


def test_samples_that_lack_the_modality_are_marked(tmp_path: Path) -> None:
    store = CacheStore(build(tmp_path, Pairs(lacking=4)))
    ids = torch.arange(100, 106).numpy()
    assert store.present(store.find(ids)).tolist() == [False, True, True, True, False, True]
    assert store.manifest.optional


def test_a_batch_of_another_form_is_read_by_a_function(tmp_path: Path) -> None:
    from recordings import cpu

    from fdkd_lightning.training.cache.settings import TeacherCache

    def read(batch: Batch) -> Batch:
        return {"depth": batch["audio"], "index": batch["index"]}

    data = Pairs()
    data.setup("fit")
    settings = TeacherCache(tmp_path)
    folder = room.build_cache(Teacher(), "depth", data, settings, cpu(), read, progress=False)
    assert folder.name.startswith("depth-")
