import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from fdkd_lightning.training.rng import restore_rng_states, rng_states


@pytest.fixture(autouse=True)
def _leave_the_generators_alone() -> Iterator[None]:
    before = rng_states()
    yield
    restore_rng_states(before, 0)


def seed(value: int) -> None:
    torch.manual_seed(value)
    np.random.seed(value)  # noqa: NPY002 (its state is what is saved)
    random.seed(value)


def draw() -> list[float]:
    """Three numbers of each generator; a normal one leaves half a pair behind."""
    return [
        *torch.randn(3).tolist(),
        *np.random.normal(size=3).tolist(),  # noqa: NPY002
        *(random.gauss() for _ in range(3)),
    ]


def through_a_checkpoint(states: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    torch.save({"rng": states}, folder / "last.ckpt")
    return torch.load(folder / "last.ckpt", weights_only=True)["rng"]


def test_the_same_numbers_come_again_after_a_checkpoint(tmp_path: Path) -> None:
    seed(1)
    draw()
    states = through_a_checkpoint(rng_states(), tmp_path)
    expected = draw()
    assert all(a != b for a, b in zip(draw(), expected, strict=True))
    restore_rng_states(states, 0)
    assert draw() == expected


@pytest.mark.parametrize("count", [0, 2])
def test_another_number_of_processes_changes_nothing(count: int) -> None:
    seed(1)
    states = rng_states() * count
    seed(2)
    expected = draw()
    seed(2)
    with pytest.warns(UserWarning, match=f"written by {count} ranks, but this run has 1"):
        restore_rng_states(states, 0)
    assert draw() == expected


def test_each_rank_gets_its_own_state(monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    for value in (1, 2):
        seed(value)
        states += rng_states()
    expected = draw()
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    restore_rng_states(states, 1)
    assert draw() == expected


def test_a_process_group_gathers_the_states(tmp_path: Path) -> None:
    seed(1)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        states = rng_states()
        expected = draw()
        assert len(states) == 1
        restore_rng_states(states, 0)
        assert draw() == expected
    finally:
        dist.destroy_process_group()
