from pathlib import Path

import pytest
import torch

from fdkd_lightning.study.kept_checkpoints import check_finite, forget_damaged


def run_folder(folder: Path, *, finished: bool = False, cut: str = "", missing: str = "") -> Path:
    (folder / "checkpoints").mkdir()
    for name in ("best.ckpt", "last.ckpt"):
        path = folder / "checkpoints" / name
        if name != missing:
            torch.save({"state_dict": {"weight": torch.zeros(9)}}, path)
        if name == cut:
            path.write_bytes(path.read_bytes()[:200])
    if finished:
        (folder / "result.json").write_text("{}")
    return folder


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("finished", [True, False])
def test_whole_checkpoints_are_kept(tmp_path: Path, finished: bool) -> None:
    folder = run_folder(tmp_path, finished=finished)
    before = files(folder)
    assert forget_damaged(folder) is None
    assert files(folder) == before


@pytest.mark.parametrize(
    ("finished", "cut", "missing", "problem"),
    [
        (True, "best.ckpt", "", "best.ckpt was damaged"),
        (True, "", "best.ckpt", "best.ckpt was missing"),
        (False, "last.ckpt", "", "last.ckpt was damaged"),
        (False, "best.ckpt", "", "best.ckpt was damaged"),
        (False, "", "best.ckpt", "best.ckpt was missing"),
    ],
)
def test_a_run_with_a_damaged_checkpoint_starts_again(
    tmp_path: Path, finished: bool, cut: str, missing: str, problem: str
) -> None:
    folder = run_folder(tmp_path, finished=finished, cut=cut, missing=missing)
    assert forget_damaged(folder) == f"{problem}, and the run was made again from its beginning"
    assert files(folder) == set()


def test_a_finished_run_needs_no_last_checkpoint(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, finished=True, cut="last.ckpt")
    assert forget_damaged(folder) is None


def test_a_run_without_a_last_checkpoint_starts_anyway(tmp_path: Path) -> None:
    assert forget_damaged(tmp_path) is None
    assert forget_damaged(run_folder(tmp_path, missing="last.ckpt")) is None


def test_values_that_are_not_finite_are_no_result() -> None:
    check_finite("fdkd_seed1", {"w": torch.ones(2), "val": 0.5, "metric": "accuracy", "n": 3})
    for bad in (torch.tensor([0.0, float("nan")]), float("inf")):
        with pytest.raises(FloatingPointError, match="fdkd_seed1 diverged: w is NaN"):
            check_finite("fdkd_seed1", {"w": bad})
