from pathlib import Path

from filelock import FileLock
from recordings import Pairs

from fdkd_lightning.training.cache.claims import Claims, batch_loader
from fdkd_lightning.training.cache.shard_plan import plan_shards, sections_of


def test_a_shard_that_exists_or_that_another_builds_is_left_out(tmp_path: Path) -> None:
    data = Pairs()
    data.setup("fit")
    shards = plan_shards(sections_of(data, 0)[:1], 8)
    (tmp_path / shards[0].name).touch()
    with FileLock(tmp_path / f".{shards[1].name}.lock"):
        claims = Claims(shards, tmp_path, 4)
        assert [*claims] == [[16, 17, 18, 19], [20, 21, 0, 1]]
        [(claimed, lock)] = claims.claimed
        assert claimed == shards[2]
        assert lock.is_locked
        assert [*Claims(shards, tmp_path, 4)] == []
        lock.release()
        assert len([*Claims(shards, tmp_path, 4)]) == 2


def test_batches_are_those_of_the_data_module_s_loader_in_this_order() -> None:
    data = Pairs()
    data.setup("fit")
    first, second = batch_loader(sections_of(data, 0)[0], [[3, 0], [5]])
    assert first["index"].tolist() == [103, 100]
    assert second["audio"].shape == (1, 3)
