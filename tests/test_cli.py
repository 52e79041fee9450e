import logging
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_module

from fdkd_lightning.analysis import command as analysis_command
from fdkd_lightning.benchmark import command as benchmark_command
from fdkd_lightning.cli import main
from fdkd_lightning.data import command as data_command
from fdkd_lightning.export import command as export_command
from fdkd_lightning.report import (
    analysis_report,
    benchmark_report,
    command as report_command,
    study_report,
    sweep_report,
    wandb_study,
)
from fdkd_lightning.study import command as study_command
from fdkd_lightning.study.sweep import command as sweep_command
from fdkd_lightning.training import command as training_command

SCRIPT = Path(sysconfig.get_path("scripts")) / "fdkd"
MODULE = [sys.executable, "-m", "fdkd_lightning"]
COMMANDS = (
    *("fit", "validate", "test", "predict", "analyze", "export", "prepare", "study", "report"),
    *("sweep", "cache", "benchmark"),
)
# What main hands on to.
PARTS = (
    (study_command, "study"),
    (sweep_command, "sweep"),
    (data_command, "prepare_set"),
    (analysis_command, "analyze"),
    (export_command, "export"),
    (benchmark_command, "benchmark"),
    (report_command, "report_folder"),
    (training_command, "FDKDCLI"),
)
# A user's module, which only the working directory holds.
MINE = """
from torch import nn
from torch.utils.data import DataLoader
from lightning.pytorch import LightningDataModule
import torch

from fdkd_lightning import Output


class Data(LightningDataModule):
    def train_dataloader(self):
        samples = [{"x": torch.ones(4), "label": i % 2, "index": i} for i in range(8)]
        return DataLoader(samples, batch_size=4)

    val_dataloader = train_dataloader


class Net(nn.Linear):
    def __init__(self):
        super().__init__(4, 2)

    def forward(self, x):
        return Output(x, super().forward(x))
"""
CONFIG = {
    "trainer": {"accelerator": "cpu", "max_epochs": 1, "enable_progress_bar": False},
    "model": {
        "class_path": "fdkd_lightning.UnimodalModule",
        "init_args": {"model": {"class_path": "mine.Net"}, "modality": "x"},
    },
    "data": {"class_path": "mine.Data"},
}


def call(program: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | environment
    return subprocess.run(program, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a user's module, where the console script fitted it, and what it said.

    Others of the user's modules there have names of libraries.
    """
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(MINE)
    for name in ("attr", "tensorboard", "yaml", "jsonargparse"):
        (folder / f"{name}.py").write_text("raise SystemExit('run instead of the package')")
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    done = call([str(SCRIPT), "fit", "--config=config.yaml"], folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout + done.stderr


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def said_by_lightning(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """What Lightning prints here, where this package was imported last: it logs for both."""
    said: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    keep = Keep()
    above = logging.getLogger(request.param)
    own = logging.getLogger(f"{request.param}.utilities.rank_zero")
    monkeypatch.setattr(rank_zero_module, "log", own)
    # As at the start of a program.
    monkeypatch.setattr(own, "filters", [])
    level = above.level
    above.setLevel(logging.INFO)
    above.addHandler(keep)
    yield said
    above.removeHandler(keep)
    above.setLevel(level)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What main hands on, and to whom."""
    got: list[Any] = []

    def note(to: str, args: Any) -> SimpleNamespace:
        got.append((to, args))
        return SimpleNamespace(reported_folder=None)

    for module, name in PARTS:
        monkeypatch.setattr(module, name, lambda args, *_, to=name: note(to, args))
    monkeypatch.setattr(report_command, "print_report", lambda folder: None)
    monkeypatch.setattr(study_report, "print_study", lambda folder: None)
    monkeypatch.setattr(wandb_study, "log_study", lambda folder: None)
    monkeypatch.setattr(analysis_report, "print_analysis", lambda folder: None)
    monkeypatch.setattr(sweep_report, "print_sweep", lambda folder: None)
    monkeypatch.setattr(benchmark_report, "print_benchmark", lambda folder: None)
    return got


def test_each_command_gets_its_arguments(commands: list[Any]) -> None:
    main(["study", "my.yaml", "--workers=8"])
    main(["study"])
    main(["sweep", "my.yaml", "--local"])
    main(["report", "runs/study/mine"])
    main(["prepare", "CREMAD"])
    main(["fit", "--config=study"])
    main(["export", "--config=my.yaml"])
    main(["analyze", "--config=my.yaml"])
    main(["benchmark", "--cases=loss"])
    main(["--config=my.yaml", "fit"])
    main(["fit", "--help-all"])
    assert commands == [
        ("study", ["my.yaml", "--workers=8"]),
        ("study", []),
        ("sweep", ["my.yaml", "--local"]),
        ("report_folder", ["runs/study/mine"]),
        ("prepare_set", ["CREMAD"]),
        ("FDKDCLI", ["fit", "--config=study"]),
        # The name stays: it is LightningCLI's subcommand.
        ("export", ["export", "--config=my.yaml"]),
        ("analyze", ["analyze", "--config=my.yaml"]),
        ("benchmark", ["--cases=loss"]),
        ("FDKDCLI", ["--config=my.yaml", "fit"]),
        ("FDKDCLI", ["fit", "--help-all"]),
    ]


def test_without_arguments_those_of_the_process_count(
    commands: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for argv in (["fdkd", "study", "my.yaml"], ["fdkd", "export"], ["fdkd", "fit"]):
        monkeypatch.setattr(sys, "argv", argv)
        main()
    # LightningCLI reads those of the process itself.
    assert commands == [("study", ["my.yaml"]), ("export", None), ("FDKDCLI", None)]


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["--help"], 0, COMMANDS),
        (["-h"], 0, COMMANDS),
        (["--version"], 0, [f"fdkd_lightning {version('fdkd_lightning')}"]),
        (["fit", "--help"], 0, ["usage: fdkd fit ", "--model.criterion=CLASS", "FDKDLoss"]),
        (["export", "-h"], 0, ["usage: fdkd export ", "--formats"]),
        ([], 2, ["give a command", *COMMANDS]),
        (["fti"], 2, ["'fti'", "did you mean fit?", *COMMANDS]),
        (["preprae"], 2, ["did you mean prepare or report?"]),
        (["nonsense"], 2, ["'nonsense'", *COMMANDS]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_version_and_typing_errors_are_answered(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, parts: Sequence[str]
) -> None:
    with pytest.raises(SystemExit) if code else nullcontext() as error:
        main(arguments)
    assert error is None or error.value.code == code
    shown = capsys.readouterr()
    answer, other = (shown.err, shown.out) if code else (shown.out, shown.err)
    assert all(part in answer for part in parts)
    assert not other


@pytest.mark.parametrize("argument", ["--help", "--version", "fti"])
def test_answers_import_neither_torch_nor_lightning(argument: str, tmp_path: Path) -> None:
    script = """
import sys
from fdkd_lightning.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print({"torch", "lightning", "pytorch_lightning", "jsonargparse"} & {*sys.modules})
"""
    done = call([sys.executable, "-c", script, argument], tmp_path)
    assert done.stdout.endswith("set()\n"), done.stdout + done.stderr


def test_importing_the_package_imports_neither_torch_nor_lightning(tmp_path: Path) -> None:
    script = "import sys, fdkd_lightning.data; print({'torch', 'lightning'} & {*sys.modules})"
    assert call([sys.executable, "-c", script], tmp_path).stdout == "set()\n"


def test_the_module_is_a_program(tmp_path: Path) -> None:
    done = call([*MODULE, "--help"], tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: fdkd COMMAND")
    assert not done.stderr


def test_study_has_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["study", "--help"])
    assert error.value.code == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("usage: fdkd study ")
    assert "--scheduler" in shown.out
    assert not shown.err


def test_the_console_script_finds_modules_in_the_working_directory(
    fitted: tuple[Path, str],
) -> None:
    folder, said = fitted
    assert (folder / "runs/checkpoints/last.ckpt").is_file()
    assert "instead" not in said


def test_the_report_of_a_run_ends_it(fitted: tuple[Path, str]) -> None:
    folder, said = fitted
    page = (folder / "runs/report.html").read_text()
    assert "<title>Run: runs</title>" in page
    assert f"report: {Path('runs/report.html')}\n" in said


def test_a_module_that_is_nowhere_is_named(
    fitted: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = (fitted[0] / "config.yaml").read_text().replace("mine.Data", "yours.Data")
    (tmp_path / "config.yaml").write_text(config)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fdkd"])
    with pytest.raises(SystemExit) as error:
        main(["fit", "--config=config.yaml"])
    assert error.value.code == 2
    assert "No module named 'yours'" in capsys.readouterr().err


def test_lightnings_tips_are_not_printed(
    fitted: tuple[Path, str], said_by_lightning: list[str], commands: list[Any], tmp_path: Path
) -> None:
    settings = {"accelerator": "cpu", "logger": False, "default_root_dir": tmp_path}
    Trainer(**settings)
    assert [message for message in said_by_lightning if "Tip:" in message]
    said_by_lightning.clear()
    main(["fit"])
    Trainer(**settings)
    assert [message for message in said_by_lightning if "GPU" in message]
    assert not [message for message in said_by_lightning if "Tip:" in message]
    assert "GPU" in fitted[1]
    assert "trained parameters: " in fitted[1]
    for noise in ("Tip:", "Seed set", "max_epochs=", "FLOPs", "v_num", "Warning"):
        assert noise not in fitted[1]


@pytest.mark.parametrize("program", [[str(SCRIPT)], MODULE], ids=["script", "module"])
def test_files_in_the_current_folder_do_not_replace_libraries(
    tmp_path: Path, program: list[str]
) -> None:
    library, folder = tmp_path / "library", tmp_path / "folder"
    for place in (library, folder):
        place.mkdir()
        # The first library that fit imports; the real one takes seconds.
        (place / "lightning.py").write_text(f"raise SystemExit('{place.name} was imported')")
        (place / "torch.py").write_text(f"raise SystemExit('{place.name} was imported')")
    path = os.pathsep.join([str(library), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = call([*program, "fit", "--config=missing.yaml"], folder, PYTHONPATH=path)
    assert done.returncode == 1
    assert done.stderr == "library was imported\n"


def test_an_error_is_short_and_debug_shows_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: Any) -> None:
        raise RuntimeError("the user's own code")

    monkeypatch.setattr(training_command, "FDKDCLI", fail)
    monkeypatch.setenv("JSONARGPARSE_DEBUG", "")
    with pytest.raises(SystemExit) as error:
        main(["fit"])
    assert error.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: RuntimeError: the user's own code"
    assert lines[-1] == "  add --debug for the traceback"
    assert len(lines) <= 5
    with pytest.raises(RuntimeError, match="own code"):
        main(["fit", "--debug"])


def test_a_message_at_the_end_is_short_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(args: Any, *_: Any) -> None:
        raise SystemExit("\n".join(map(str, range(50))))

    monkeypatch.setattr(data_command, "prepare_set", end)
    with pytest.raises(SystemExit) as error:
        main(["prepare", "AVE"])
    assert error.value.code == 1
    assert len(capsys.readouterr().err.splitlines()) == 5
