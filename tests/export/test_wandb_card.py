from pathlib import Path
from typing import Any

import pytest
import wandb

from fdkd_lightning.export import wandb_card
from fdkd_lightning.export.run_facts import RunFacts
from fdkd_lightning.export.wandb_card import log_card


class Run:
    def __init__(self) -> None:
        self.logged: dict[str, Any] = {}

    def log(self, values: dict[str, Any]) -> None:
        self.logged |= values


def test_card_and_page_go_to_the_run_in_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, page = Run(), tmp_path / "report.html"
    page.write_text("<p>page</p>")
    monkeypatch.setattr(wandb, "run", run)
    log_card(tmp_path, page)
    # There is no fit.
    assert run.logged.keys() == {"report"}
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/best.ckpt").touch()
    facts = RunFacts(
        source="run.json",
        data={"class_path": "my.<Data>"},
        module="fdkd_lightning.UnimodalModule",
        criterion=None,
        metrics={"test/accuracy": 0.75},
    )
    monkeypatch.setattr(wandb_card, "read_run", lambda folder: {"fit": {"config": {}}})
    monkeypatch.setattr(wandb_card, "gather_facts", lambda *given: facts)
    log_card(tmp_path, page)
    text = run.logged["model_card"].html
    assert "| test/accuracy | 0.7500 |" in text
    # Nothing of a name becomes part of the page.
    assert "my.&lt;Data&gt;" in text


def test_without_a_run_nothing_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb, "run", None)
    log_card(tmp_path, tmp_path / "report.html")
    assert not [*tmp_path.iterdir()]
