import hashlib
from pathlib import Path

import pytest
import torch

from fdkd_lightning.training.run.checkpoint_description import RECORD_KEY, describe_checkpoint
from fdkd_lightning.training.run.run_record import RunRecord


class Module:
    """A pickled object that is not weights."""


def test_a_plain_state_dict_has_a_hash_and_no_history(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.ones(2)}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = {"sha256": digest, "epoch": None, "step": None, "validation": None}
    assert describe_checkpoint(path) == expected


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "pickled.ckpt"
    torch.save({"epoch": 1, "module": Module()}, path)
    assert describe_checkpoint(path)["epoch"] is None


@pytest.mark.parametrize("step", [7, 8])
def test_a_validation_counts_for_the_weights_that_were_validated(tmp_path: Path, step: int) -> None:
    path = tmp_path / "last.ckpt"
    validation = {"step": 7, "whole_split": True, "metrics": {"val/accuracy": 0.5}}
    torch.save(
        {"epoch": 2, "global_step": step, "callbacks": {RECORD_KEY: {"validation": validation}}},
        path,
    )
    found = describe_checkpoint(path)
    assert (found["epoch"], found["step"]) == (2, step)
    assert found["validation"] == (validation if step == 7 else None)


def test_the_key_is_the_one_that_the_record_writes_under() -> None:
    assert RunRecord.state_key.fget(object()) == RECORD_KEY  # type: ignore[attr-defined]
