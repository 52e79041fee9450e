import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

from fdkd_lightning.training.cache.shard import (
    CRC,
    INDEX,
    DamagedCacheError,
    Shard,
    row_sums,
    write_shard,
)

ROWS = 5


def rows() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "logits": rng.normal(size=(ROWS, 3)).astype(np.float32),
        "map.0": rng.normal(size=(ROWS, 2, 3, 4)).astype(np.float16),
    }


def write(path: Path) -> Path:
    index = np.arange(10, 10 + ROWS)
    keys, present = np.zeros((ROWS, 2), np.int64), np.ones(ROWS, np.uint8)
    write_shard(path, rows(), index, keys, present, {"view": 0, "b": 1, "a": 2})
    return path


def test_rows_come_back_bit_by_bit_in_any_order(tmp_path: Path) -> None:
    shard = Shard(write(tmp_path / "s.safetensors"))
    order = np.array([4, 0, 4, 2])
    found = shard.read(order)
    for name, values in rows().items():
        assert found[name].dtype == values.dtype
        assert np.array_equal(found[name], values[order])
    assert shard.column(INDEX).tolist() == [10, 11, 12, 13, 14]
    assert shard.row_shape("map.0") == (2, 3, 4)
    assert shard.identity == {"view": 0, "a": 2, "b": 1}


def test_equal_rows_make_equal_files(tmp_path: Path) -> None:
    one, two = (write(tmp_path / f"{name}.safetensors").read_bytes() for name in "ab")
    assert one == two


def test_safetensors_itself_reads_it(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    found = load_file(write(tmp_path / "s.safetensors"))
    assert np.array_equal(found["logits"], rows()["logits"])
    assert np.array_equal(found[CRC], row_sums(rows()))


def test_a_copy_maps_the_file_itself(tmp_path: Path) -> None:
    shard = Shard(write(tmp_path / "s.safetensors"))
    shard.read(np.array([0]))
    for copied in (copy.deepcopy(shard), pickle.loads(pickle.dumps(shard))):
        assert copied._mapped is None
        assert np.array_equal(copied.read(np.array([1]))["logits"][0], rows()["logits"][1])


def test_any_flipped_byte_is_found_and_its_row_named(tmp_path: Path) -> None:
    path = write(tmp_path / "s.safetensors")
    content, head = path.read_bytes(), Shard(path).head_sum()
    everything = np.arange(ROWS)
    silent = []
    for at in range(0, len(content), 5):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        if outcome(path, head, everything) is None:
            silent.append(at)
    assert silent == []


def outcome(path: Path, head: int, rows: np.ndarray) -> str | None:
    """What is found to be wrong with a file."""
    try:
        shard = Shard(path)
        if shard.head_sum() != head:
            return "head"
        shard.read(rows)
    except DamagedCacheError as error:
        return str(error) if path.name in str(error) else None
    return None


def test_a_changed_row_is_named_when_it_is_read_first(tmp_path: Path) -> None:
    path = write(tmp_path / "s.safetensors")
    content, wanted = path.read_bytes(), rows()["map.0"][3].tobytes()
    path.write_bytes(content.replace(wanted, wanted[:-1] + b"x"))
    shard = Shard(path)
    shard.read(np.array([0, 4]))
    with pytest.raises(DamagedCacheError, match=r"s\.safetensors .*row 3, sample 13"):
        shard.read(np.array([4, 3]))


@pytest.mark.parametrize("keep", [0, 7, 30, -1])
def test_a_cut_off_file_is_named(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "s.safetensors")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedCacheError, match=r"s\.safetensors is damaged .* run fdkd cache"):
        Shard(path)


def test_a_row_s_sum_depends_on_each_output() -> None:
    first, second = rows(), rows()
    second["map.0"][3, 1, 2, 3] += 1
    assert (row_sums(first) != row_sums(second)).tolist() == [False, False, False, True, False]
