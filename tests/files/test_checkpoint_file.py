from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fdkd_lightning.files.checkpoint_file import (
    DamagedCheckpointError,
    check_checkpoint,
    load_checkpoint,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.save({"weight": torch.arange(999.0), "epoch": 3}, tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


def test_a_whole_file_is_read(path: Path) -> None:
    check_checkpoint(path, "a.ckpt")
    found = load_checkpoint(path, "a.ckpt")
    assert found["epoch"] == 3
    assert torch.equal(found["weight"], torch.arange(999.0))


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_damaged(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    message = r"a\.ckpt is not a checkpoint, or a damaged one \(it is (empty|cut off)\): resume"
    for read in (check_checkpoint, load_checkpoint):
        with pytest.raises(DamagedCheckpointError, match=message):
            read(path, "a.ckpt", remedy="resume")


def test_changed_bytes_and_zeros_are_damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    size = len(content)
    middle = size // 2
    content[middle : middle + 40] = bytes(255 - byte for byte in content[middle : middle + 40])
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match="its bytes have changed"):
        load_checkpoint(path, "a.ckpt")
    path.write_bytes(bytes(size))
    with pytest.raises(DamagedCheckpointError, match="begins with zeros"):
        check_checkpoint(path, "a.ckpt")


@pytest.mark.parametrize("content", [b"not a checkpoint\n", b"<html>404</html>", b"PK\x03\x04"])
def test_another_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match=r"checkpoint='a\.ckpt' is not a checkpoint"):
        load_checkpoint(tmp_path / "a.ckpt", "checkpoint='a.ckpt'")


def test_code_is_named_and_never_run(tmp_path: Path) -> None:
    torch.save({"module": SimpleNamespace()}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"pickled code \(types\.SimpleNamespace"):
        load_checkpoint(tmp_path / "a.ckpt", "a.ckpt")
