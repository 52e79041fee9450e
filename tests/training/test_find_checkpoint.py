from pathlib import Path

import pytest
import torch

from fdkd_lightning.ops.checkpoint_file import DamagedCheckpointError
from fdkd_lightning.training.find_checkpoint import find_checkpoint


def test_a_checkpoint_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    torch.save({}, path := tmp_path / "last.ckpt")
    assert find_checkpoint(tmp_path, "last") == find_checkpoint(tmp_path, str(path)) == path
    with pytest.raises(FileNotFoundError, match="its last epoch is --ckpt_path=last"):
        find_checkpoint(tmp_path, "best")
    with pytest.raises(FileNotFoundError, match="train first"):
        find_checkpoint(tmp_path / "other", "best")


def test_a_damaged_one_is_named_with_one_that_is_not(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(DamagedCheckpointError, match=r"\(it is empty\): train again"):
        find_checkpoint(tmp_path, "last")
    torch.save({}, tmp_path / "best.ckpt")
    with pytest.raises(DamagedCheckpointError, match="use --ckpt_path=best, or train again"):
        find_checkpoint(tmp_path, "last")
