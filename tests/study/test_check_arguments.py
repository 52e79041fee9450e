from collections.abc import Callable
from pathlib import Path

import pytest

from fdkd_lightning.study.check_arguments import check_arguments, runs_to_check
from fdkd_lightning.study.execute import run_study
from fdkd_lightning.study.plan import Study, method_runs, teacher_runs
from fdkd_lightning.study.planned_run import Run


def every_run(study: Study) -> list[Run]:
    return [*dict.fromkeys(teacher_runs(study).values()), *method_runs(study)]


def test_each_argument_is_among_the_runs_to_check(make_study: Callable[..., Study]) -> None:
    regimes = {"full": {}, "few": {"student": ["--data.labelled=6"]}}
    runs = every_run(make_study(regimes=regimes, seeds=[0, 1]))
    chosen = runs_to_check(runs)
    assert {a for run in chosen for a in run.args} == {a for run in runs for a in run.args}
    # A teacher, three methods, and one that adds the regime's argument; of 14 runs.
    assert (len(chosen), len(runs)) == (5, 14)


def test_arguments_that_fit_takes_are_not_refused_and_nothing_is_written(
    make_study: Callable[..., Study],
) -> None:
    runs = every_run(make_study())
    before = sorted(Path().rglob("*.*"))
    assert [check_arguments(run) for run in runs] == [None] * len(runs)
    assert sorted(x for x in Path().rglob("*.*") if x.suffix != ".pyc") == before


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"teacher": ["unimodal_$teacher.yaml", "--trainer.max_epoch=8"]}, r"max_epochs"),
        ({"teacher": ["unimodal_$teacher.yaml", "--data.signal=much"]}, r"signal=.*much"),
        (
            {"directions": {"to visual": {"student": "visual", "teachers": []}}},
            r"fdkd \(to visual, full\): .*cannot load a teacher of this study, which trains none",
        ),
    ],
)
def test_no_run_starts_where_arguments_of_one_are_refused(
    make_study: Callable[..., Study], changes: dict[str, object], refused: str
) -> None:
    with pytest.raises(ValueError, match=rf"so none is started. The first: .*{refused}"):
        run_study(make_study(**changes))
    assert not [*Path("out/runs").iterdir()]
