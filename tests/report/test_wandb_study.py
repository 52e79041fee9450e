import json
from pathlib import Path
from typing import Any

import pytest
import wandb

from fdkd_lightning.report.wandb_study import log_study


class Run:
    def __init__(self) -> None:
        self.logged: dict[str, Any] = {}
        self.is_finished = False

    def log(self, values: dict[str, Any]) -> None:
        self.logged |= values

    def finish(self) -> None:
        self.is_finished = True


def write(folder: Path, **settings: Any) -> None:
    content = {"study": {"metric": "accuracy"}, **settings}
    (folder / "results.json").write_text(json.dumps(content))
    (folder / "results.csv").write_text("method,seed\nKD,0\nKD,1\n")
    (folder / "report.html").write_text("<!DOCTYPE html><p>é</p>", encoding="utf-8")


def test_tables_and_page_are_a_run_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, wandb="mine")
    run, given = Run(), {}
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(wandb, "init", lambda **arguments: given.update(arguments) or run)
    log_study(tmp_path)
    assert given["project"] == "mine"
    assert given["job_type"] == "study"
    assert given["config"] == {"metric": "accuracy"}
    assert run.logged.keys() == {"results", "report"}
    assert run.logged["results"].columns == ["method", "seed"]
    assert run.logged["results"].data == [["KD", "0"], ["KD", "1"]]
    assert run.is_finished


def test_a_study_without_a_project_starts_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.setattr(wandb, "init", lambda **arguments: pytest.fail("a run"))
    log_study(tmp_path)
