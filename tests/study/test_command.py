import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from fdkd_lightning.study.command import study
from fdkd_lightning.study.plan import Study


def failure(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """What is said when the command fails, printed or as its exit."""
    with pytest.raises(SystemExit) as error:
        study(args)
    assert error.value.code not in (None, 0)
    return f"{capsys.readouterr().err}\n{error.value}"


@pytest.mark.usefixtures("home")
def test_a_study_is_run_up_to_its_results() -> None:
    folder = study(["study.yaml", "--seeds=[4,2]"])
    assert folder == Path("out")
    written = {"results.csv", "results.json", "seconds.csv", "runs"}
    assert {path.name for path in folder.iterdir()} == written
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["4", "2"] + 3 * ["4"] + 3 * ["2"]
    assert all(row["test_last/align_low"] for row in rows if row["method"] in ("fdkd", "free"))


def test_a_report_runs_nothing(tmp_path: Path) -> None:
    assert study(["--report", str(tmp_path)]) == tmp_path
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("home")
def test_a_study_whose_runs_fail_says_so_in_a_line(
    make_study: Callable[..., Study], capsys: pytest.CaptureFixture[str]
) -> None:
    make_study(teacher=["unimodal_$teacher.yaml", "--model.modality=video"])
    with pytest.raises(SystemExit) as error:
        study(["study.yaml"])
    assert str(error.value.code).startswith("fdkd study: 4 of 4 runs failed, the first: teacher-")
    assert "no modality 'video'" in str(error.value.code)
    assert not Path("out/results.csv").exists()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("args", [[], ["study.yaml", "--report=out"]])
def test_either_a_file_or_a_folder_is_wanted(
    capsys: pytest.CaptureFixture[str], args: list[str]
) -> None:
    assert "give the file of a study, or --report" in failure(capsys, *args)
    assert not Path("out").exists()


@pytest.mark.usefixtures("home")
def test_an_unknown_key_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "sedes" in failure(capsys, "study.yaml", "--sedes=[0]")
    assert not Path("out").exists()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("short", "whole"), [("--rep=out", "--report"), ("--sched=a", "--sched")])
def test_abbreviations_are_refused(
    capsys: pytest.CaptureFixture[str], short: str, whole: str
) -> None:
    assert f"did you mean {whole}" in failure(capsys, "study.yaml", short)
    assert not Path("out").exists()
