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


@pytest.mark.usefixtures("home")
def test_a_study_whose_runs_fail_says_so_in_a_line(
    make_study: Callable[..., Study], capsys: pytest.CaptureFixture[str]
) -> None:
    make_study(teacher=["unimodal_$teacher.yaml", "--model.optimizer.init_args.lr=-1"])
    with pytest.raises(SystemExit) as error:
        study(["study.yaml"])
    assert str(error.value.code).startswith("fdkd study: 4 of 4 runs failed, the first: teacher-")
    assert "Invalid learning rate: -1" in str(error.value.code)
    assert not Path("out/results.csv").exists()


@pytest.mark.usefixtures("home")
def test_a_missing_configuration_names_the_method_and_the_folder(
    make_study: Callable[..., Study], capsys: pytest.CaptureFixture[str]
) -> None:
    make_study()
    Path("no_teacher.yaml").unlink()
    said = failure(capsys, "study.yaml")
    missing = Path("no_teacher.yaml").absolute()
    assert f"free (to visual, full) names no_teacher.yaml, but there is no {missing}" in said


@pytest.mark.usefixtures("home")
def test_a_file_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    assert "the following arguments are required: file" in failure(capsys)
    assert not Path("out").exists()


@pytest.mark.usefixtures("home")
def test_an_unknown_key_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "sedes" in failure(capsys, "study.yaml", "--sedes=[0]")
    assert not Path("out").exists()


@pytest.mark.usefixtures("home")
def test_abbreviations_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean --scheduler" in failure(capsys, "study.yaml", "--sched=a")
    assert not Path("out").exists()
