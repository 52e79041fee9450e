import sys
from pathlib import Path

import pytest
import wandb

sys.path.insert(0, str(Path(__file__).parent))

from wandb_files import read_offline

from fdkd_lightning.study.cell import run_cell
from fdkd_lightning.study.planned_run import Run
from fdkd_lightning.study.wandb_run import cell_logger, is_offline, job_type

RUNS = Path("out/runs")
TEACHER = Run("teacher", "audio", "full", 1, "", ("unimodal_audio.yaml",))


def distilled(seed: int) -> Run:
    arguments = ("distill_visual.yaml",)
    return Run("fdkd", "to visual", "full", seed, "", arguments, (("audio", TEACHER),))


@pytest.mark.usefixtures("home")
def test_a_run_has_its_cell_as_group_and_configuration_terms_and_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    runs = [TEACHER, distilled(1)]
    for run in runs:
        assert run_cell(run, RUNS, "accuracy", project="mine") is None
        assert wandb.run is None
    teacher, first = (read_offline(RUNS / run.name) for run in runs)
    assert first["run"].project == "mine"
    assert [x["run"].job_type for x in (teacher, first)] == ["teacher", "method"]
    assert first["run"].run_group == "fdkd | to visual | full"
    assert first["run"].display_name == distilled(1).name
    assert [*first["run"].tags] == ["out"]
    assert first["configs"] == 1
    assert first["config"]["seed_everything"] == 1
    keys = {key for row in first["history"] for key in row}
    terms = {"train/loss", "train/task", "train/low", "train/high", "train/align"}
    assert {*terms, "val/accuracy", "test/accuracy", "result/test_last"} <= keys
    # A row per epoch.
    assert sum("train/low" in row for row in first["history"]) == 2
    # Each class by each class, three of them.
    nrows = [row.get("test/confusion_table.nrows") for row in first["history"]]
    assert {*nrows} == {None, 9}


@pytest.mark.usefixtures("home")
def test_a_study_without_a_project_leaves_wandb_out() -> None:
    assert run_cell(TEACHER, RUNS, "accuracy") is None
    assert not [*RUNS.rglob("wandb")]


@pytest.mark.usefixtures("home")
def test_seeds_of_a_cell_share_a_group_and_have_ids_of_their_own() -> None:
    # Mean and interval over the seeds are those of a group.
    first, second = (cell_logger(distilled(seed), Path("out"), "mine") for seed in (1, 2))
    assert first._wandb_init["group"] == second._wandb_init["group"]
    assert first._wandb_init["id"] != second._wandb_init["id"]


def test_a_search_is_a_job_of_its_own() -> None:
    search = Run("fdkd", "to visual", "full", 1, "lr=1", (), searches=True)
    assert job_type(search) == "search"


def test_a_chosen_mode_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert is_offline()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert not is_offline()
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert not is_offline()
