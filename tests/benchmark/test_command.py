import json
from pathlib import Path
from typing import Any

import pytest

from fdkd_lightning.benchmark import command
from fdkd_lightning.benchmark.cases.case import Case
from fdkd_lightning.benchmark.command import benchmark, chosen, measure_cases
from fdkd_lightning.benchmark.measure import Limits
from fdkd_lightning.benchmark.row import Row, value_row
from fdkd_lightning.cli import main


def fails(limits: Limits) -> list[Row]:
    raise ImportError("needs av")


def works(limits: Limits) -> list[Row]:
    row = value_row("a", "small", "x", "bytes", limits.repeats)
    return [row, row._replace(variant="y", compared_with="x", ratio=1.0)]


CASES = (Case("a", "How many?", (works,)), Case("b", "Which?", (fails,)))


@pytest.fixture
def small_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "CASES", CASES)


@pytest.mark.usefixtures("small_cases")
def test_the_command_writes_files_table_and_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["benchmark", f"--folder={tmp_path}", "--repeats=3", "--seconds=0"])
    names = {path.name for path in tmp_path.iterdir()}
    data, drawn = {"benchmark.csv", "benchmark.json"}, {"figure.png", "figure.svg"}
    assert names == data | drawn | {"table.md", "report.html"}
    table = (tmp_path / "table.md").read_text()
    assert table.splitlines()[2].startswith("    fdkd benchmark --folder=")
    assert "How many?" in table
    assert "| small | x | 3 B |" in table
    assert "b was not measured: needs av." in table
    assert table in capsys.readouterr().out
    about = json.loads((tmp_path / "benchmark.json").read_text())
    assert about["questions"] == {"a": "How many?", "b": "Which?"}


def test_cases_are_measured_in_their_order_with_the_limits() -> None:
    rows, skipped = measure_cases(CASES, Limits(4, 0))
    assert [row.median for row in rows] == [4, 4]
    assert skipped == {"b": "needs av"}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--cases=los", "did you mean loss?"),
        ("--cases=", "choose among loss,"),
        ("--repeats=1", "repeats=1"),
        ("--seconds=-1", "seconds=-1"),
    ],
)
def test_wrong_arguments_are_refused(
    capsys: pytest.CaptureFixture[str], argument: str, message: str
) -> None:
    with pytest.raises(SystemExit) as error:
        benchmark([argument])
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_all_cases_are_chosen_by_default() -> None:
    assert [case.name for case in chosen(None)] == [
        *("loss", "methods", "step", "torchdistill", "loader", "memory", "checkpoint", "curves")
    ]
    assert [case.name for case in chosen("[memory, loss]")] == ["loss", "memory"]


@pytest.mark.parametrize("argument", ["--config=x.yaml", "-c", "--help-all"])
def test_a_configuration_means_a_run_of_the_user_s(
    monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(command, "benchmark_run", lambda args: given.append(args) or Path("there"))
    assert benchmark([argument], ["benchmark", argument]) == Path("there")
    assert given == [["benchmark", argument]]
