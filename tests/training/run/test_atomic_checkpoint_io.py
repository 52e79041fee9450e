import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from fits import trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from small import loader, unimodal

from fdkd_lightning.files.checkpoint_file import DamagedCheckpointError
from fdkd_lightning.training.run import atomic_checkpoint_io as module
from fdkd_lightning.training.run.atomic_checkpoint_io import AtomicCheckpointIO


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    stored = {"state_dict": {"w": torch.arange(9.0)}, "epoch": 2}
    AtomicCheckpointIO().save_checkpoint(stored, tmp_path / "new" / "a.ckpt")
    found = AtomicCheckpointIO().load_checkpoint(tmp_path / "new" / "a.ckpt")
    assert found["epoch"] == 2
    assert torch.equal(found["state_dict"]["w"], torch.arange(9.0))
    assert os.listdir(tmp_path / "new") == ["a.ckpt"]


class FullDisk:
    """A file on a disk that is full after some bytes."""

    def __init__(self, file: Any, left: int) -> None:
        self.file = file
        self.left = left

    def write(self, content: bytes) -> int:
        self.left -= len(content)
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self.file.write(content))

    def flush(self) -> None:
        self.file.flush()


def fill(monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    save = torch.save
    monkeypatch.setattr(module.torch, "save", lambda x, file: save(x, FullDisk(file, left)))


@pytest.mark.parametrize("left", [0, 500, 3000])
def test_a_full_disk_costs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)
    fill(monkeypatch, left)
    with pytest.raises(OSError, match=r"cannot write .*last\.ckpt \(No space left") as caught:
        AtomicCheckpointIO().save_checkpoint({"weight": torch.zeros(9999)}, path)
    assert caught.value.errno == errno.ENOSPC
    assert AtomicCheckpointIO().load_checkpoint(path) == {"epoch": 1}
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_fit_on_a_full_disk_keeps_its_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FromEpoch(AtomicCheckpointIO):
        def save_checkpoint(self, checkpoint: Any, *args: Any, **options: Any) -> None:
            if checkpoint["epoch"] == 1:
                fill(monkeypatch, 2000)
            super().save_checkpoint(checkpoint, *args, **options)

    save = ModelCheckpoint(tmp_path, filename="last", enable_version_counter=False)
    run = trainer(tmp_path, save, epochs=3, plugins=[FromEpoch()])
    with pytest.raises(OSError, match="make room"):
        run.fit(unimodal(), loader())
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["last.ckpt"]
    resumed = trainer(tmp_path, epochs=3, plugins=[AtomicCheckpointIO()])
    resumed.fit(unimodal(), loader(), ckpt_path=tmp_path / "last.ckpt")
    assert resumed.global_step == 6


@pytest.mark.parametrize("weights_only", [None, True, False])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, weights_only: bool | None) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"weight": torch.zeros(99)}, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DamagedCheckpointError, match=r"last\.ckpt is not a checkpoint, .*resume"):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=weights_only)
    path.write_bytes(b"hello")
    with pytest.raises(DamagedCheckpointError, match=r"last\.ckpt is not a checkpoint, .*resume"):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=weights_only)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "none.ckpt")


def test_another_file_system_is_left_to_lightning() -> None:
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, "memory://a/last.ckpt")
    assert AtomicCheckpointIO().load_checkpoint("memory://a/last.ckpt") == {"epoch": 1}
