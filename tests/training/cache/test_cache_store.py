import json
from pathlib import Path

import numpy as np
import pytest
import torch
from recordings import Pairs, Teacher, build

from fdkd_lightning.training.cache.cache_store import MANIFEST, CacheStore, Manifest, read_manifest
from fdkd_lightning.training.cache.shard import DamagedCacheError


def expected(ids: list[int]) -> torch.Tensor:
    data = Pairs()
    data.setup("fit")
    by_id = {int(s["index"]): s["audio"] for d in data.datasets.values() for s in d}  # type: ignore[attr-defined]  # iterable
    output: torch.Tensor = Teacher()(torch.stack([by_id[i] for i in ids])).features
    return output.detach()


def test_rows_are_found_by_id_over_splits(tmp_path: Path) -> None:
    store = CacheStore(build(tmp_path))
    ids = np.array([505, 100, 121, 100])
    found = store.read(store.find(ids))
    torch.testing.assert_close(torch.from_numpy(found["features"]), expected(ids.tolist()))
    assert found["features"].dtype == np.float32
    assert store.manifest.splits == ("train", "val")
    assert store.present(store.find(ids)).all()


def test_a_sample_that_is_not_stored_is_named(tmp_path: Path) -> None:
    store = CacheStore(build(tmp_path))
    for ids in ([100, 7], [100, 400], [10**9, 100]):
        with pytest.raises(ValueError, match=r"no output for sample \d+ \(1 of 2 are missing\)"):
            store.find(np.array(ids))


def test_verify_names_the_damaged_file(tmp_path: Path) -> None:
    store = CacheStore(build(tmp_path))
    assert store.verify() == len(store.shards) + 1
    path = store.shards[1].path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedCacheError, match=path.name):
        CacheStore(store.folder).verify()


def test_an_id_that_changed_is_found_on_opening(tmp_path: Path) -> None:
    store = CacheStore(build(tmp_path))
    path = store.shards[0].path
    content, wanted = path.read_bytes(), np.int64(100).tobytes()
    path.write_bytes(content.replace(wanted, np.int64(99).tobytes(), 1))
    with pytest.raises(DamagedCacheError, match=rf"{path.name} is damaged \(its header or ids"):
        CacheStore(store.folder)


def test_every_byte_of_the_manifest_counts(tmp_path: Path) -> None:
    folder = build(tmp_path)
    path = folder / MANIFEST
    content, whole = path.read_bytes(), read_manifest(folder)
    found: Manifest | None
    silent = []
    for at in range(0, len(content), 29):
        changed = bytearray(content)
        changed[at] ^= 1
        path.write_bytes(changed)
        try:
            found = read_manifest(folder)
        except (DamagedCacheError, ValueError) as error:
            found = whole if MANIFEST in str(error) else None
        if found != whole:  # white space may change
            silent.append(at)
    assert silent == []


def test_another_format_a_missing_shard_and_no_cache_are_named(tmp_path: Path) -> None:
    folder = build(tmp_path)
    with pytest.raises(FileNotFoundError, match="is no cache: build it with fdkd cache"):
        CacheStore(tmp_path / "none")
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(ValueError, match="format version 99, and this package reads 1"):
        CacheStore(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(FileNotFoundError, match="is not finished: run the same fdkd cache again"):
        CacheStore(folder)
    build(tmp_path)
    next(folder.glob("shard-*")).unlink()
    with pytest.raises(FileNotFoundError, match=r"is missing: delete cache\.json"):
        CacheStore(folder)
