import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fdkd_lightning.data.embedded.rooms_file import build_rooms, rooms_name


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    build_rooms(tmp_path / "here.npz", (13, 18), (2, 1, 1), seed=3)
    code = (
        "from pathlib import Path\n"
        "from fdkd_lightning.data.embedded.rooms_file import build_rooms\n"
        "build_rooms(Path('there.npz'), (13, 18), (2, 1, 1), seed=3)"
    )
    # Another number of threads, and other hashes.
    environment = os.environ | {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "5"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    here, there = (
        hashlib.sha256((tmp_path / f"{name}.npz").read_bytes()).hexdigest()
        for name in ("here", "there")
    )
    assert here == there


def test_a_smaller_split_is_the_beginning_of_a_larger_one_and_other_seeds_differ(
    tmp_path: Path,
) -> None:
    stored = {}
    for counts, seed in (((1, 1, 1), 0), ((2, 1, 1), 0), ((1, 1, 1), 1)):
        path = tmp_path / rooms_name((12, 16), counts, seed)
        build_rooms(path, (12, 16), counts, seed)
        with np.load(path, allow_pickle=False) as file:
            stored[counts, seed] = {name: file[name] for name in file.files}
    small, large, other = stored.values()
    for name, values in small.items():
        assert np.array_equal(large[name][:1], values), name
    assert not np.array_equal(small["train_depth"], other["train_depth"])
    assert not np.array_equal(small["train_depth"], small["val_depth"])


def test_an_unwritable_root_is_named_before_anything_is_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("fdkd_lightning.data.embedded.rooms_file.render")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"root: cannot write to .*file/data"):
        build_rooms(tmp_path / "file/data/rooms.npz", (12, 16), (1, 1, 1))
