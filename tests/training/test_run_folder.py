from pathlib import Path

import pytest

from fdkd_lightning.training.run_folder import run_folder


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
