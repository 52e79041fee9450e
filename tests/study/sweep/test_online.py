"""Against a stub: the service itself has not been tried."""

from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml

from fdkd_lightning.study.sweep.online import has_login, run_on_service


def test_a_key_in_the_environment_or_the_file_of_wandb_login_is_a_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not has_login()
    (tmp_path / ".netrc").write_text("machine api.wandb.ai\n  login user\n  password secret\n")
    assert has_login()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not has_login()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert has_login()
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert not has_login()


def test_the_file_is_sent_as_it_is_and_an_agent_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, Any]
) -> None:
    calls: list[Any] = []

    def create(sweep: dict[str, Any], **where: Any) -> str:
        calls.append((sweep, where))
        return "abc"

    monkeypatch.setattr(wandb, "sweep", create)
    monkeypatch.setattr(wandb, "agent", lambda *args, **kwargs: calls.append((args, kwargs)))
    path = tmp_path / "my.yaml"
    content |= {"project": "mine", "scheduler": {"engine": "wandb"}}
    path.write_text(yaml.safe_dump(content))
    assert run_on_service(path, count=3) == "abc"
    where = {"entity": None, "project": "mine"}
    assert calls == [(content, where), (("abc",), {**where, "count": 3})]
