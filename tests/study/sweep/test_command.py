from pathlib import Path
from typing import Any

import pytest
import yaml

from fdkd_lightning.study.sweep import command
from fdkd_lightning.study.sweep.command import sweep


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, Any]) -> str:
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text(yaml.safe_dump(content))
    return "my.yaml"


@pytest.mark.usefixtures("fits")
def test_without_a_login_the_sweep_runs_here_up_to_its_results(file: str) -> None:
    assert sweep([file]) == Path("runs/my")
    assert {path.name for path in Path("runs/my").iterdir()} == {
        *("sweep.db", "sweep.json", "trials.csv", "best.yaml", "trials")
    }


@pytest.mark.usefixtures("fits")
def test_with_a_login_it_runs_on_the_service_unless_local(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    monkeypatch.setattr(command, "run_on_service", lambda *args: sent.append(args))
    assert sweep([file, "--count=2"]) is None
    assert sent == [(Path(file), 2)]
    assert not Path("runs").exists()
    assert sweep([file, "--local", "--folder=out"]) == Path("out")
    assert len(sent) == 1


def test_bad_arguments_are_answered(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sweep([file, "--count=0"])
    assert "--count=0 must be at least 1" in capsys.readouterr().err
    with pytest.raises(SystemExit, match=r"no\.yaml"):
        sweep(["no.yaml"])
    Path(file).write_text("method: grid")
    with pytest.raises(SystemExit, match=r"fdkd sweep: my\.yaml lacks 'metric'"):
        sweep([file])
