import inspect
import re

import pytest
from lightning.pytorch.cli import LightningCLI

import fdkd_lightning.data
import fdkd_lightning.losses
from fdkd_lightning.analysis.command import AnalyzeCLI
from fdkd_lightning.data.base import MultimodalDataModule
from fdkd_lightning.data.paired import PairedDataModule
from fdkd_lightning.export.command import ExportCLI
from fdkd_lightning.losses.base import DistillationLoss
from fdkd_lightning.training.cache.command import CacheCLI
from fdkd_lightning.training.command import FDKDCLI
from fdkd_lightning.training.parser.help_text import COMMANDS, DATA, run_help


@pytest.mark.parametrize("command", COMMANDS)
def test_the_short_help_fits_two_screens(command: str) -> None:
    lines = run_help(command).splitlines()
    assert lines[0].startswith(f"usage: fdkd {command} ")
    assert len(lines) <= 80
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_of_the_short_help_exists(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setattr("sys.argv", ["fdkd"])
    kinds: dict[str, type[LightningCLI]] = {
        "analyze": AnalyzeCLI,
        "cache": CacheCLI,
        "export": ExportCLI,
    }
    kind = kinds.get(command, FDKDCLI)
    with pytest.raises(SystemExit):
        kind([command, "--help-all"])
    known = {*re.findall(r"--[\w.-]+", capsys.readouterr().out)}
    named = re.findall(r"^  (?:-\w, )?(--[\w.-]+)", run_help(command), re.MULTILINE)
    assert len(named) > 20
    # Those below --model and --data belong to the class.
    own = [name for name in named if not re.match(r"--(model|data)\.(?!help)", name)]
    assert [name for name in own if name not in known] == []


def test_every_data_module_is_listed() -> None:
    bases = (MultimodalDataModule, PairedDataModule)
    modules = [
        name
        for name in fdkd_lightning.data.__all__
        if isinstance(value := getattr(fdkd_lightning.data, name), type)
        and issubclass(value, MultimodalDataModule)
        and value not in bases
    ]
    assert sorted(DATA) == sorted(modules)


def test_every_criterion_is_listed() -> None:
    criteria = [
        name
        for name in fdkd_lightning.losses.__all__
        if inspect.isclass(value := getattr(fdkd_lightning.losses, name))
        and issubclass(value, DistillationLoss)
        and not inspect.isabstract(value)
    ]
    listed = run_help("fit").split("criteria, in fdkd_lightning:")[1].split("data modules")[0]
    assert sorted(listed.split()) == sorted(criteria)
