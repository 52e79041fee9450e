import csv
import importlib.metadata
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from fdkd_lightning.study.cell import Result
from fdkd_lightning.study.plan import Study, method_runs
from fdkd_lightning.study.planned_run import Run
from fdkd_lightning.study.results import Row, collect, read_results, scores, write_results

TUNE = {"model.lr": [0.1, 0.01], "model.x": [1, 2]}
Pretend = Callable[[Study, Callable[[Run], Result]], None]


def value(run: Run) -> float:
    """Another one for each run."""
    return int(run.fingerprint[:6], 16) / 16**6


def result(run: Run) -> Result:
    """What a run might have found, with a head where it has one."""
    v = value(run)
    heads = {"last/align_low": v / 5, "best/align_low": v / 6} if run.method == "fdkd" else {}
    return Result("accuracy", v, v / 2, 3, v / 3, v / 4, heads, 12.5, ["a warning"])


def of(rows: list[Row], **where: Any) -> list[Row]:
    return [row for row in rows if all(getattr(row, k) == v for k, v in where.items())]


def test_rows_are_the_results_of_all_runs_the_teachers_first(
    make_study: Callable[..., Study], pretend: Pretend
) -> None:
    study = make_study(seeds=[3, 1])
    pretend(study, result)
    rows = collect(study)
    assert [(row.method, row.seed) for row in rows] == [
        ("teacher", 3),
        ("teacher", 1),
        *((method, seed) for seed in (3, 1) for method in ("alone", "fdkd", "free")),
    ]
    for run, row in zip(method_runs(study), rows[2:], strict=True):
        v = value(run)
        expected = {
            "val_last": v,
            "val_best": v / 2,
            "best_epoch": 3,
            "test_last": v / 3,
            "test_best": v / 4,
        }
        if run.method == "fdkd":
            expected |= {"test_last/align_low": v / 5, "test_best/align_low": v / 6}
        assert row == Row(run.method, "to visual", "full", run.seed, "", True, expected)


def test_a_teacher_that_regimes_share_is_one_row(
    make_study: Callable[..., Study], pretend: Pretend
) -> None:
    study = make_study(regimes={"full": {}, "few": {"student": ["--data.labelled=6"]}})
    pretend(study, result)
    rows = collect(study)
    assert len(of(rows, method="teacher")) == 1
    assert len(rows) == 1 + 2 * 3


def test_a_run_without_a_result_is_missing_and_no_other(
    make_study: Callable[..., Study], pretend: Pretend
) -> None:
    study = make_study(seeds=[0, 1])
    pretend(study, result)
    lost = method_runs(study)[1]
    (study.folder / "runs" / lost.name / "result.json").unlink()
    rows = collect(study)
    assert len(rows) == 2 + 2 * 3 - 1
    write_results(study, rows, study.folder, {lost.name: "it failed"})
    settings, read = read_results(study.folder)
    assert settings["failures"] == {lost.name: "it failed"}
    column = scores(settings, read)["to visual", "full"]
    # The seeds stay paired.
    assert [math.isnan(x) for x in column[lost.method]] == [seed == lost.seed for seed in (0, 1)]
    others = [x for name, values in column.items() if name != lost.method for x in values]
    assert len(others) == 4
    assert not any(map(math.isnan, others))


def test_a_setting_that_failed_with_a_seed_is_not_chosen(
    make_study: Callable[..., Study], pretend: Pretend
) -> None:
    study = make_study(tune={"lr": [1, 2]}, seeds=[0, 1])
    pretend(study, lambda run: Result("accuracy", 0.9 if "2" in run.tuned else 0.5, 0, 0, 0, 0))
    (lost,) = [r for r in method_runs(study) if (r.method, r.tuned, r.seed) == ("fdkd", "lr=2", 1)]
    (study.folder / "runs" / lost.name / "result.json").unlink()
    rows = of(collect(study), method="fdkd", chosen=True)
    assert {row.tuned for row in rows} == {"lr=1"}


# Tuning.


@pytest.mark.parametrize("epoch", ["last", "best"])
def test_the_setting_with_the_best_mean_on_validation_counts(
    make_study: Callable[..., Study], pretend: Pretend, epoch: str
) -> None:
    study = make_study(tune=TUNE, seeds=[0, 1, 2], epoch=epoch)
    pretend(study, result)
    rows = collect(study)
    for method in study.methods:
        means = {
            row.tuned: sum(
                r.values[f"val_{epoch}"] for r in of(rows, method=method, tuned=row.tuned)
            )
            for row in of(rows, method=method)
        }
        assert len(means) == 4
        best = max(means, key=lambda tuned: means[tuned])
        chosen = {row.tuned for row in of(rows, method=method, chosen=True)}
        assert chosen == {best}
        assert len(of(rows, method=method, chosen=True)) == 3
    # Each method has its own.
    assert len({row.tuned for row in of(rows, chosen=True)} - {""}) > 1
    assert all(row.chosen for row in of(rows, method="teacher"))


def test_what_is_chosen_is_not_what_is_best_on_test(
    make_study: Callable[..., Study], pretend: Pretend
) -> None:
    study = make_study(tune={"model.lr": [0.1, 0.01]}, seeds=[0, 1])

    def trap(run: Run) -> Result:
        good = "0.01" in run.tuned
        # The better one on validation wins by its mean, though it loses on one seed.
        val = {(True, 0): 0.9, (True, 1): 0.4, (False, 0): 0.5, (False, 1): 0.5}[good, run.seed]
        return Result("accuracy", val, 0, 0, 0.1 if good else 1.0, 0)

    pretend(study, trap)
    rows = collect(study)
    assert {row.tuned for row in of(rows, method="fdkd", chosen=True)} == {"model.lr=0.01"}
    settings = {"epoch": "last", "regimes": ["full"], "directions": ["to visual"]}
    found = scores(settings | {"methods": ["fdkd"]}, rows)
    assert found == {("to visual", "full"): {"fdkd": [0.1, 0.1]}}


def test_each_direction_and_regime_has_its_own_choice(
    make_study: Callable[..., Study], pretend: Pretend
) -> None:
    directions = {
        "a": {"student": "visual", "teachers": ["audio"]},
        "v": {"student": "audio", "teachers": ["visual"]},
    }
    regimes = {"full": {}, "few": {"student": ["--data.labelled=6"]}}
    study = make_study(tune={"lr": [1, 2]}, directions=directions, regimes=regimes)
    wanted = {
        ("a", "full"): "lr=1",
        ("a", "few"): "lr=2",
        ("v", "full"): "lr=2",
        ("v", "few"): "lr=1",
    }
    pretend(
        study,
        lambda run: Result(
            "accuracy", float(wanted.get((run.direction, run.regime)) == run.tuned), 0, 0, 0, 0
        ),
    )
    rows = of(collect(study), method="fdkd", chosen=True)
    assert {(row.direction, row.regime): row.tuned for row in rows} == wanted


# The files.


def test_what_is_written_is_read_again(make_study: Callable[..., Study], pretend: Pretend) -> None:
    study = make_study(tune=TUNE, seeds=[3, 1], epoch="best")
    pretend(study, result)
    rows = collect(study)
    write_results(study, rows, study.folder)
    settings, again = read_results(study.folder)
    assert again == rows
    assert {row.seconds for row in again} == {12.5}
    # Published folders may lack it.
    (study.folder / "seconds.csv").unlink()
    assert {row.seconds for row in read_results(study.folder)[1]} == {None}
    assert settings["baseline"] == "alone"
    assert settings["seeds"] == [3, 1]
    assert settings["epoch"] == "best"
    assert settings["tune"] == TUNE
    assert list(settings["methods"]) == ["alone", "fdkd", "free"]
    assert settings["methods"]["fdkd"] == {
        "args": ["distill_$student.yaml"],
        "controls": ["free"],
        "references": [],
        "tune": {},
    }


def test_the_table_of_results_has_a_column_per_value(
    make_study: Callable[..., Study], pretend: Pretend
) -> None:
    study = make_study()
    pretend(study, result)
    write_results(study, collect(study), study.folder)
    with (study.folder / "results.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    keys = ["method", "direction", "regime", "seed", "tuned", "chosen"]
    values = ["val_last", "val_best", "best_epoch", "test_last", "test_best"]
    assert header == [*keys, *values, "test_last/align_low", "test_best/align_low"]
    assert all(len(line) == len(header) for line in lines)
    # A method without heads leaves them empty.
    assert [line[-1] != "" for line in lines] == [line[0] == "fdkd" for line in lines]


def test_how_the_results_came_about_is_kept(
    make_study: Callable[..., Study], pretend: Pretend
) -> None:
    study = make_study()
    pretend(study, result)
    write_results(study, collect(study), study.folder)
    kept = json.loads((study.folder / "results.json").read_text())
    files = ("unimodal_audio", "unimodal_visual", "distill_visual", "no_teacher")
    contents = {f"{f}.yaml": yaml.safe_load(Path(f"{f}.yaml").read_text()) for f in files}
    assert kept["configs"] == contents
    assert not {"folder", "workers"} & kept["study"].keys()
    for package in ("torch", "lightning", "fdkd_lightning"):
        assert kept["versions"][package] == importlib.metadata.version(package)
    assert kept["commits"] == ["unknown"]


def test_the_commits_of_all_runs_are_kept(
    make_study: Callable[..., Study], pretend: Pretend
) -> None:
    study = make_study()
    pretend(study, lambda run: replace(result(run), commit=f"{run.method} commit"))
    write_results(study, collect(study), study.folder)
    kept = json.loads((study.folder / "results.json").read_text())
    assert kept["commits"] == [f"{m} commit" for m in ("alone", "fdkd", "free", "teacher")]


def test_only_configurations_are_files_that_are_kept(
    make_study: Callable[..., Study], pretend: Pretend
) -> None:
    """An argument in two words runs, too: its value is no file."""
    methods = {"alone": {"args": ["unimodal_visual.yaml", "--trainer.max_epochs", "1"]}}
    study = make_study(methods=methods)
    pretend(study, result)
    write_results(study, collect(study), study.folder)
    kept = json.loads((study.folder / "results.json").read_text())
    assert kept["configs"].keys() == {"unimodal_audio.yaml", "unimodal_visual.yaml"}


def test_nothing_private_is_kept(
    tmp_path: Path, make_study: Callable[..., Study], pretend: Pretend
) -> None:
    secrets = "# my password is hunter2\nmodel: {hub_token: abc123}\ndata: {root: /home/me/data}\n"
    for folder, more in (("a", ""), ("b", "seed_everything: 1\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.yaml").write_text(secrets + more)
    url = "--data.url=https://me:1234@example.org/a?token=5"
    args = [str(tmp_path / "a/own.yaml"), str(tmp_path / "b/own.yaml"), url]
    study = make_study(methods={"alone": {"args": args}})
    pretend(study, lambda run: replace(result(run), warnings=["see /home/me/run.log"]))
    write_results(study, collect(study), study.folder)
    text = (study.folder / "results.json").read_text()
    for private in ("hunter2", "abc123", "/home/me", "1234", "token=5", str(tmp_path)):
        assert private not in text
    kept = json.loads(text)
    plain = {"model": {"hub_token": "[redacted]"}, "data": {"root": "data"}}
    assert kept["configs"]["own.yaml"] == plain
    assert kept["configs"]["own.yaml (2)"] == plain | {"seed_everything": 1}
    assert kept["study"]["methods"]["alone"]["args"][-1] == "--data.url=https://example.org/a"
    assert kept["warnings"] == ["see run.log"]


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"results\.csv does not exist: give the folder"):
        read_results(tmp_path)


# The scores that count.


def row(method: str, seed: int, test: float, chosen: bool = True, **other: Any) -> Row:
    where = {"direction": "d", "regime": "r", "tuned": ""} | other
    values = {"test_last": test, "test_best": -test}
    return Row(method=method, seed=seed, chosen=chosen, values=values, **where)


def test_scores_are_in_one_order_of_seeds_for_all_methods() -> None:
    rows = [row("a", 3, 0.3), row("a", 1, 0.1), row("b", 1, 0.2), row("b", 3, 0.4)]
    rows += [row("b", 1, 9.0, chosen=False), row("a", 1, 8.0, regime="s"), row("teacher", 1, 7.0)]
    settings = {"regimes": ["r", "s"], "directions": ["d"], "methods": ["b", "a"], "epoch": "last"}
    found = scores(settings, rows)
    assert found["d", "r"] == {"b": [0.2, 0.4], "a": [0.1, 0.3]}
    # What is missing keeps its place among the seeds.
    assert str(found["d", "s"]) == "{'b': [nan, nan], 'a': [8.0, nan]}"
    assert list(found["d", "r"]) == ["b", "a"]
    best = scores(settings | {"epoch": "best"}, rows)
    assert best["d", "r"] == {"b": [-0.2, -0.4], "a": [-0.1, -0.3]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results.csv", "", "results.csv is empty or not complete: run the study again"),
        (
            "results.csv",
            "method,direction,regime,seed,tuned,chosen\nkd,a,b,x,,True",
            "line 2: .*'x'",
        ),
        ("results.csv", "method,direction,regime,seed,tuned,chosen\nkd,a,b,1", "line 2: 'tuned'"),
        ("results.json", "", "results.json is empty"),
        ("results.json", '{"study": {', "results.json, line 1 is damaged"),
        ("results.json", "{}", "results.json is empty or not complete"),
    ],
)
def test_a_torn_file_is_named(
    tmp_path: Path,
    make_study: Callable[..., Study],
    pretend: Pretend,
    name: str,
    content: str,
    message: str,
) -> None:
    study = make_study()
    pretend(study, result)
    write_results(study, collect(study), tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_results(tmp_path)
    assert str(tmp_path / name) in str(caught.value)
