from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fdkd_lightning.training.run.replaced_run import ReplacedRun, has_replaced, settle_replaced

OLD = {"best.ckpt": "old", "last.ckpt": "old", "run.json": "old"}
TRAINER: Any = SimpleNamespace()


def content(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def replaced(tmp_path: Path) -> ReplacedRun:
    (tmp_path / "checkpoints").mkdir()
    for name in OLD:
        (tmp_path / ("checkpoints" if "ckpt" in name else ".") / name).write_text("old")
    return ReplacedRun(tmp_path, tmp_path / "checkpoints")


def test_a_run_that_fails_before_its_first_checkpoint_restores_the_earlier_one(
    replaced: ReplacedRun,
) -> None:
    replaced.on_exception(TRAINER, TRAINER, None)
    assert content(replaced.root) == OLD
    replaced.on_fit_start(TRAINER, TRAINER)
    # Nothing of the earlier run can be taken for this one's.
    assert not OLD.keys() & content(replaced.root).keys()
    (replaced.root / "run.json").write_text("new")
    replaced.on_train_epoch_start(TRAINER, TRAINER)
    replaced.on_exception(TRAINER, TRAINER, None)
    assert content(replaced.root) == OLD


def test_a_run_that_was_killed_leaves_them_for_the_next_command(replaced: ReplacedRun) -> None:
    replaced.on_fit_start(TRAINER, TRAINER)
    assert has_replaced(replaced.root, replaced.folder)
    settle_replaced(replaced.root, replaced.folder)
    assert not has_replaced(replaced.root, replaced.folder)
    assert content(replaced.root) == OLD


@pytest.mark.parametrize("how", ["epoch", "exception", "end", "killed"])
def test_a_run_that_has_saved_replaces_the_earlier_one(replaced: ReplacedRun, how: str) -> None:
    replaced.on_fit_start(TRAINER, TRAINER)
    (replaced.folder / "best.ckpt").write_text("new")
    if how == "epoch":
        replaced.on_train_epoch_start(TRAINER, TRAINER)
    elif how == "exception":
        replaced.on_exception(TRAINER, TRAINER, None)
    elif how == "end":
        replaced.on_fit_end(TRAINER, TRAINER)
    else:
        settle_replaced(replaced.root, replaced.folder)
    assert content(replaced.root) == {"best.ckpt": "new"}
