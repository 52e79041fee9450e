import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from fdkd_lightning.study.cell import read_result
from fdkd_lightning.study.execute import StudyError, run_study
from fdkd_lightning.study.plan import Study, method_runs, teacher_runs
from fdkd_lightning.study.planned_run import Run
from fdkd_lightning.study.results import collect

RUNS = Path("out/runs")


def every_run(study: Study) -> list[Run]:
    return [*dict.fromkeys(teacher_runs(study).values()), *method_runs(study)]


def contents() -> dict[str, int]:
    """Every file of every run, and when it was written."""
    files = (path for path in RUNS.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.as_posix(): path.stat().st_mtime_ns for path in files}


def folders() -> set[str]:
    return {path.name for path in RUNS.iterdir()}


def append(file: str, content: str) -> None:
    with Path(file).open("a") as text:
        text.write(content)


def test_every_run_has_its_folder_and_result(
    make_study: Callable[..., Study], finished: Path
) -> None:
    # Of a finished study that gets another regime.
    shutil.copytree(finished, "out")
    before = contents()
    study = make_study(regimes={"full": {}, "few": {"student": ["--data.labelled=6"]}})
    run_study(study)
    runs = every_run(study)
    # A teacher that both regimes share, and three methods in each.
    assert len(runs) == 1 + 2 * 3
    assert folders() == {run.name for run in runs}
    assert all(read_result(run, RUNS, "accuracy") for run in runs)
    assert before.items() < contents().items()


def test_what_the_first_seed_gives_is_said_as_soon_as_it_is_known(
    make_study: Callable[..., Study], finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One run of the first seed is missing, and all those of the second.
    shutil.copytree(finished, "out")
    study = make_study(seeds=[0, 1])
    first = [run for run in method_runs(study) if run.seed == 0]
    shutil.rmtree(RUNS / first[1].name)
    run_study(study)
    values = {row.method: 100 * row.values["test_last"] for row in collect(study) if row.seed == 0}
    scores = ", ".join(f"{run.method} {values[run.method]:.1f}" for run in first)
    column = f"{first[0].direction}, {first[0].regime}"
    said = [line for line in capsys.readouterr().out.splitlines() if "seed" in line]
    assert said == [f"{column}, seed 0 alone, in %: {scores}"]


def test_a_finished_run_is_not_touched_again(
    make_study: Callable[..., Study], finished: Path
) -> None:
    shutil.copytree(finished, "out")
    study = make_study()
    assert folders() == {run.name for run in every_run(study)}
    before = contents()
    run_study(study)
    assert contents() == before
    more = make_study(seeds=[1, 0])
    run_study(more)
    after = contents()
    assert before.items() < after.items()
    assert {Path(path).parts[2] for path in after.keys() - before.keys()} == {
        run.name for run in every_run(more) if run.seed == 1
    }


def test_a_changed_configuration_is_run_anew_and_nothing_else(
    make_study: Callable[..., Study], finished: Path
) -> None:
    shutil.copytree(finished, "out")
    study = make_study()
    before, names = contents(), folders()
    append("no_teacher.yaml", "# changed\n")
    run_study(study)
    assert before.items() < contents().items()
    (new,) = folders() - names
    assert new.startswith("free-")
    append("unimodal_audio.yaml", "# changed\n")
    names = folders()
    run_study(study)
    assert sorted(name.split("-")[0] for name in folders() - names) == [
        "alone",
        "fdkd",
        "free",
        "teacher",
    ]


@pytest.fixture
def broken(make_study: Callable[..., Study]) -> Study:
    """A study whose second method fails."""
    study = make_study()
    Path("distill_visual.yaml").rename("whole.yaml")
    config = yaml.safe_load(Path("whole.yaml").read_text())
    config["model"]["init_args"]["optimizer"]["init_args"]["lr"] = -1  # refused by SGD itself
    Path("fdkd.yaml").write_text(yaml.safe_dump(config))
    study.methods["fdkd"].args[:] = ["fdkd.yaml"]
    study.methods["free"].args[:] = ["whole.yaml", "no_teacher.yaml"]
    return study


def test_a_run_that_fails_leaves_the_others_to_finish_and_is_done_alone_once_mended(
    broken: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StudyError) as error:
        run_study(broken)
    results = {run.method: read_result(run, RUNS, "accuracy") for run in every_run(broken)}
    assert {method for method, result in results.items() if result is None} == {"fdkd"}
    (failed,) = [run for run in method_runs(broken) if run.method == "fdkd"]
    message = str(error.value)
    assert message.startswith("1 of 4 runs failed")
    assert failed.name in message
    assert "start the study again" in message
    # And when it happens, above the bar.
    shown = capsys.readouterr()
    assert f"{failed.name}: " in shown.out + shown.err
    before = contents()
    Path("fdkd.yaml").write_text(Path("whole.yaml").read_text())
    run_study(broken)
    after = contents()
    assert before.items() <= after.items()
    new = {Path(path).parts[2].split("-")[0] for path in after.keys() - before.keys()}
    assert new == {"fdkd"}
    assert len(collect(broken)) == 4


def test_without_its_teacher_no_method_begins(make_study: Callable[..., Study]) -> None:
    study = make_study(
        teacher=["unimodal_$teacher.yaml", "--model.optimizer.init_args.lr=-1"], seeds=[0, 1]
    )
    with pytest.raises(StudyError, match="8 of 8 runs failed"):
        run_study(study)
    assert {name.split("-")[0] for name in folders()} == {"teacher"}
