from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from fdkd_lightning.study.plan import (
    Direction,
    Method,
    Regime,
    Study,
    method_runs,
    read_study,
    search_runs,
    teacher_runs,
)
from fdkd_lightning.study.planned_run import Run

FULL = {
    "folder": "runs/mine",
    "teacher": ["teacher_$teacher.yaml", "--x=$teacher"],
    "directions": {
        "a2v": {"student": "visual", "teachers": ["audio"]},
        "v2a": {"student": "audio", "teachers": ["visual"]},
        "both": {"student": "text", "teachers": ["audio", "visual"]},
    },
    "regimes": {
        "full": {},
        "few": {"student": ["--data.labelled=5"], "teacher": ["--data.size=9"]},
    },
    "methods": {
        "alone": {"args": ["alone_$student.yaml"]},
        "fdkd": {
            "args": ["distil_$student.yaml", "over.yaml", "--m=$student"],
            "controls": ["free"],
        },
        "free": {"args": ["distil_$student.yaml", "free.yaml"]},
    },
    "baseline": "alone",
    "seeds": [3, 1],
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A study's file with these changes; None leaves a key out."""
    monkeypatch.chdir(tmp_path)

    def make(**changes: Any) -> Path:
        content = {key: value for key, value in (FULL | changes).items() if value is not None}
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return make


def failure(path: Path, capsys: pytest.CaptureFixture[str], overrides: Sequence[str] = ()) -> str:
    """What is said of a study that cannot be read, printed or raised."""
    with pytest.raises((SystemExit, ValueError)) as error:
        read_study(path, overrides)
    return f"{capsys.readouterr().err}\n{error.value}"


# Reading.


def test_a_study_is_read_with_its_defaults(write: Callable[..., Path]) -> None:
    assert read_study(write()) == Study(
        folder=Path("runs/mine"),
        teacher=["teacher_$teacher.yaml", "--x=$teacher"],
        directions={
            "a2v": Direction("visual", ["audio"]),
            "v2a": Direction("audio", ["visual"]),
            "both": Direction("text", ["audio", "visual"]),
        },
        regimes={"full": Regime(), "few": Regime(["--data.labelled=5"], ["--data.size=9"])},
        methods={
            "alone": Method(["alone_$student.yaml"]),
            "fdkd": Method(["distil_$student.yaml", "over.yaml", "--m=$student"], ["free"]),
            "free": Method(["distil_$student.yaml", "free.yaml"]),
        },
        baseline="alone",
        seeds=[3, 1],
        tune={},
        metric="accuracy",
        epoch="last",
        workers=1,
    )


def test_the_order_of_the_file_is_that_of_the_rows(write: Callable[..., Path]) -> None:
    methods = {name: {"args": []} for name in ("z", "alone", "a")}
    assert list(read_study(write(methods=methods)).methods) == ["z", "alone", "a"]


def test_the_command_line_goes_over_the_file(write: Callable[..., Path]) -> None:
    path = write(metric="macro_f1", epoch="best", workers=3)
    plain = read_study(path)
    assert (plain.metric, plain.epoch, plain.workers) == ("macro_f1", "best", 3)
    changed = read_study(path, ["--seeds=[0,1,2]", "--workers=8", "--folder=elsewhere"])
    assert (changed.seeds, changed.workers, changed.folder) == ([0, 1, 2], 8, Path("elsewhere"))
    assert changed.methods == plain.methods


def test_a_second_file_names_all_methods_and_what_changes_in_them(
    write: Callable[..., Path],
) -> None:
    entry = {"args": ["a"], "controls": ["alone"], "tune": {"lr": [1]}}
    path = write(methods={"alone": {"args": []}, "mine": entry, "gone": {"args": []}})
    Path("over.yaml").write_text("methods: {alone: {}, mine: {args: [b], tune: {}}}")
    changed = read_study(path, ["--config=over.yaml"]).methods
    assert changed == {"alone": Method([]), "mine": Method(["b"], ["alone"])}


def test_a_study_without_regimes_has_one_that_adds_no_arguments(
    write: Callable[..., Path],
) -> None:
    path = write(regimes=None)
    assert read_study(path).regimes == {"all labels": Regime()}
    # One of the command line's file takes its place.
    Path("few.yaml").write_text("regimes: {few: {}}")
    assert [*read_study(path, ["--config=few.yaml"]).regimes] == ["few"]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"baseline": "none"}, ["baseline='none'", "alone, fdkd, free"]),
        (
            {"methods": {"alone": {"args": [], "controls": ["gone"]}}},
            ["methods.alone.controls='gone'", "choose one of alone"],
        ),
        (
            {"methods": {"alone": {"args": [], "references": ["alone"]}}},
            ["methods.alone.references names 'alone' itself"],
        ),
        ({"directions": {}}, ["directions is empty"]),
        ({"regimes": {}}, ["regimes is empty"]),
        ({"methods": {}}, ["methods is empty"]),
        ({"seeds": []}, ["seeds is empty"]),
        ({"seeds": [0, 1, 0]}, ["seeds=[0, 1, 0]", "twice"]),
        ({"epoch": "first"}, ["epoch"]),
        ({"seeds": ["one"]}, ["seeds"]),
        ({"baseline": None}, ["baseline"]),
        ({"metrics": "macro_f1"}, ["metrics"]),
        ({"directions": {"a2v": {"student": "visual"}}}, ["teachers"]),
    ],
)
def test_a_mistake_in_the_file_is_named(
    write: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    parts: list[str],
) -> None:
    message = failure(write(**changes), capsys)
    assert all(part in message for part in parts), message


def test_a_study_without_workers_is_an_error(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "workers" in failure(write(), capsys, ["--workers=0"])


def test_a_file_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nowhere.yaml" in failure(tmp_path / "nowhere.yaml", capsys)


# The runs.


def test_each_direction_has_its_students_and_teachers(write: Callable[..., Path]) -> None:
    study = read_study(write(seeds=[7], regimes={"full": {}}))
    teachers = teacher_runs(study)
    assert {key: run.args for key, run in teachers.items()} == {
        (modality, "full", 7): (f"teacher_{modality}.yaml", f"--x={modality}")
        for modality in ("audio", "visual")
    }
    found = {(run.direction, run.method): run for run in method_runs(study)}
    assert found["a2v", "fdkd"].args == ("distil_visual.yaml", "over.yaml", "--m=visual")
    assert found["v2a", "free"].args == ("distil_audio.yaml", "free.yaml")
    assert found["both", "alone"].args == ("alone_text.yaml",)
    for direction, modalities in (("a2v", ["audio"]), ("both", ["audio", "visual"])):
        assert found[direction, "fdkd"].teachers == tuple(
            (m, teachers[m, "full", 7]) for m in modalities
        )


def test_a_method_may_name_its_single_teacher(write: Callable[..., Path]) -> None:
    methods = {"alone": {"args": ["--x=$teacher of $student"]}}
    directions = {"a2v": {"student": "visual", "teachers": ["audio"]}}
    study = read_study(write(methods=methods, directions=directions))
    assert {run.args[0] for run in method_runs(study)} == {"--x=audio of visual"}
    directions["both"] = {"student": "text", "teachers": ["audio", "visual"]}
    study = read_study(write(methods=methods, directions=directions))
    with pytest.raises(ValueError, match=r"teacher.* is unknown here, use \$student$"):
        method_runs(study)


def test_a_regime_adds_its_arguments_and_its_teachers(write: Callable[..., Path]) -> None:
    study = read_study(write(seeds=[7]))
    teachers = teacher_runs(study)
    for run in method_runs(study):
        assert ("--data.labelled=5" in run.args) == (run.regime == "few")
        for modality, teacher in run.teachers:
            assert teacher == teachers[modality, run.regime, 7]
            assert ("--data.size=9" in teacher.args) == (run.regime == "few")
    # Later arguments win, and the regime's are to.
    few = next(run for run in method_runs(study) if run.regime == "few")
    assert few.args[-1] == "--data.labelled=5"


def test_regimes_that_train_teachers_alike_share_them(write: Callable[..., Path]) -> None:
    regimes = {
        "full": {},
        "few": {"student": ["--data.labelled=5"]},
        "small": {"teacher": ["--data.size=9"]},
    }
    study = read_study(write(seeds=[0, 1], regimes=regimes))
    runs = teacher_runs(study)
    assert runs.keys() == {(m, r, s) for m in ("audio", "visual") for r in regimes for s in (0, 1)}
    # Two modalities, two seeds, and what the regimes say: two kinds.
    assert len({*runs.values()}) == 8
    for modality in ("audio", "visual"):
        for seed in (0, 1):
            full, few, small = (runs[modality, regime, seed] for regime in regimes)
            assert full == few != small


def test_the_first_seed_is_done_first(write: Callable[..., Path]) -> None:
    study = read_study(write(tune={"lr": [0.1, 0.01]}))
    runs = [(r.seed, r.regime, r.direction, r.method, r.tuned) for r in method_runs(study)]
    assert runs == [
        (seed, regime, direction, method, tuned)
        for seed in (3, 1)
        for regime in ("full", "few")
        for direction in ("a2v", "v2a", "both")
        for method in ("alone", "fdkd", "free")
        for tuned in ("lr=0.1", "lr=0.01")
    ]
    assert [key[2] for key in teacher_runs(study)] == [3] * 4 + [1] * 4


def test_a_grid_is_all_its_combinations_for_each_method(write: Callable[..., Path]) -> None:
    tune = {"model.lr": [0.1, 0.01], "model.x": ["a", "b", "c"]}
    study = read_study(write(tune=tune, seeds=[0], regimes={"full": {}}))
    runs = [run for run in method_runs(study) if (run.direction, run.method) == ("a2v", "alone")]
    assert [run.tuned for run in runs] == [
        f"model.lr={lr} model.x={x}" for lr in (0.1, 0.01) for x in "abc"
    ]
    assert runs[1].args == ("alone_visual.yaml", "--model.lr=0.1", "--model.x=b")
    assert all(run.tuned == "" for run in teacher_runs(study).values())


# Names and fingerprints.


@pytest.fixture
def runs(write: Callable[..., Path], tmp_path: Path) -> Callable[..., dict[str, Run]]:
    """The runs of a study whose configurations are there, by method."""
    for name in ("teacher_audio", "alone_visual", "distil_visual", "over", "free"):
        (tmp_path / f"{name}.yaml").write_text(f"# {name}")

    def make(**changes: Any) -> dict[str, Run]:
        one = {"seeds": [0], "regimes": {"full": {}}, "directions": {"a2v": A2V}}
        study = read_study(write(**(one | changes)))
        (teacher,) = teacher_runs(study).values()
        return {run.method: run for run in method_runs(study)} | {"teacher": teacher}

    return make


A2V = {"student": "visual", "teachers": ["audio"]}
EVERY = {"teacher", "alone", "fdkd", "free"}


def names(runs: dict[str, Run]) -> dict[str, str]:
    return {method: run.name for method, run in runs.items()}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {method for method, name in before.items() if after[method] != name}


@pytest.mark.parametrize(
    ("file", "whose"),
    [
        ("over.yaml", {"fdkd"}),
        ("free.yaml", {"free"}),
        ("distil_visual.yaml", {"fdkd", "free"}),
        ("alone_visual.yaml", {"alone"}),
        ("teacher_audio.yaml", EVERY),
        ("another.yaml", set()),
    ],
)
def test_a_run_is_another_one_when_its_or_its_teachers_configuration_changes(
    runs: Callable[..., dict[str, Run]], file: str, whose: set[str]
) -> None:
    before = names(runs())
    Path(file).write_text("# changed")
    assert changed(before, names(runs())) == whose


@pytest.mark.parametrize(
    ("changes", "whose"),
    [
        ({"teacher": ["teacher_$teacher.yaml", "--x=2"]}, EVERY),
        ({"seeds": [1]}, EVERY),
        ({"regimes": {"full": {"student": ["--x=1"]}}}, EVERY - {"teacher"}),
        ({"tune": {"lr": [1]}}, EVERY - {"teacher"}),
        ({"workers": 5}, set()),
        ({"epoch": "best"}, set()),
        ({"folder": "elsewhere"}, set()),
        ({"baseline": "free"}, set()),
        ({"methods": {"new": {"args": ["over.yaml"]}, **FULL["methods"]}}, set()),
    ],
)
def test_a_run_is_another_one_when_its_arguments_change_and_only_then(
    runs: Callable[..., dict[str, Run]], changes: dict[str, Any], whose: set[str]
) -> None:
    before = names(runs())
    assert changed(before, names(runs(**changes))) == whose


def test_the_same_file_touched_is_the_same_run(runs: Callable[..., dict[str, Run]]) -> None:
    before = names(runs())
    for path in Path.cwd().glob("*.yaml"):
        path.write_text(path.read_text())
    assert names(runs()) == before


def test_two_settings_of_one_grid_are_two_runs(write: Callable[..., Path]) -> None:
    methods = {"alone": {"args": ["--x=1"]}}
    study = read_study(write(methods=methods, teacher=["--y=1"], tune={"lr": [0.1, 1, "1.0"]}))
    runs = method_runs(study)
    assert len({run.name for run in runs}) == len(runs)


def test_a_method_has_its_own_grid_beside_the_studys(make_study: Callable[..., Study]) -> None:
    study = make_study(tune={"lr": [1, 2]})
    study.methods["fdkd"].tune = {"threshold": [0.3, 0.5]}
    study.methods["free"].tune = {"lr": []}
    tuned = {
        name: sorted(run.tuned for run in method_runs(study) if run.method == name)
        for name in study.methods
    }
    assert tuned["fdkd"] == [f"lr={lr} threshold={x}" for lr in (1, 2) for x in (0.3, 0.5)]
    assert tuned["free"] == [""]
    assert tuned["alone"] == ["lr=1", "lr=2"]
    with pytest.raises(ValueError, match=r"tune\.lr=\[\] has no values"):
        make_study(tune={"lr": []})


def test_a_search_has_seeds_of_its_own_that_see_no_test_data(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(seeds=[0, 1], tune_seeds=[7, 8], tune={"lr": [1, 2]})
    found = search_runs(study)
    assert {run.seed for run in found} == {7, 8}
    assert {run.seed for run in method_runs(study)} == {0, 1}
    assert {run.seed: run.searches for run in teacher_runs(study).values()} == {
        0: False,
        1: False,
        7: True,
        8: True,
    }
    assert all(run.searches and run.teachers[0][1].searches for run in found)
    assert len(found) == 2 * len(study.methods) * 2
    assert search_runs(make_study(tune={"lr": [1, 2]})) == []


def test_only_the_chosen_settings_are_judged(make_study: Callable[..., Study]) -> None:
    study = make_study(seeds=[0, 1], tune_seeds=[7], tune={"lr": [1, 2]})
    chosen = {("alone", "to visual", "full"): "lr=2", ("fdkd", "to visual", "full"): "lr=1"}
    found = {(run.method, run.seed, run.tuned) for run in method_runs(study, chosen)}
    assert found == {
        (method, seed, tuned) for seed in (0, 1) for (method, _, _), tuned in chosen.items()
    }


def test_a_seed_of_both_search_and_judgement_is_refused(make_study: Callable[..., Study]) -> None:
    with pytest.raises(ValueError, match=r"seeds=\[0, 1\] and tune_seeds=\[1\] name a seed twice"):
        make_study(seeds=[0, 1], tune_seeds=[1])
