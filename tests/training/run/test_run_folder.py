from pathlib import Path

import pytest
import torch

from fdkd_lightning.files.checkpoint_file import DamagedCheckpointError
from fdkd_lightning.training.run.run_folder import find_checkpoint, run_folder


def test_variables_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "a1b2")
    assert run_folder(tmp_path / "${WANDB_RUN_ID}/x") == f"{tmp_path}/a1b2/x"
    assert not [*tmp_path.iterdir()]


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    with pytest.raises(ValueError, match=r"names \$WANDB_RUN_ID, which is not set"):
        run_folder("runs/$WANDB_RUN_ID")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=rf"{tmp_path / 'file'} is not a writable folder"):
        run_folder(tmp_path / "file/below")


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
