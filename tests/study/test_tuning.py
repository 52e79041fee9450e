from collections.abc import Callable

from fdkd_lightning.study.cell import Result
from fdkd_lightning.study.plan import Study, method_runs, search_runs
from fdkd_lightning.study.planned_run import Run
from fdkd_lightning.study.results import collect
from fdkd_lightning.study.tuning import all_runs, best_settings, judged_runs

TUNE = {"lr": [1, 2]}
Pretend = Callable[[Study, Callable[[Run], Result], list[Run]], None]


def result(run: Run) -> Result:
    """The search finds lr=2 better, and judgement would find lr=1 better."""
    score = 0.25 * int(run.tuned[-1:] or 0) + run.seed / 1000
    if run.searches:
        return Result("accuracy", score, score, 0)
    return Result("accuracy", 1 - score, 1 - score, 0, score, score)


def run(tuned: str, seed: int) -> Run:
    return Run("m", "d", "r", seed, tuned, ())


def value(score: float) -> Result:
    return Result("accuracy", score, 1 - score, 0)


def test_the_best_mean_on_validation_data_is_chosen() -> None:
    found = [(run("a", 0), value(0.9)), (run("a", 1), value(0.1))]
    found += [(run("b", 0), value(0.6)), (run("b", 1), value(0.5))]
    assert best_settings(found, "last") == {("m", "d", "r"): "b"}
    assert best_settings(found, "best") == {("m", "d", "r"): "a"}


def test_a_setting_that_failed_with_a_seed_comes_last() -> None:
    found = [(run("a", 0), value(0.9)), (run("b", 0), value(0.2)), (run("b", 1), value(0.2))]
    assert best_settings(found, "last") == {("m", "d", "r"): "b"}


def test_the_searchs_choice_is_judged_and_nothing_of_the_judgement_chooses(
    make_study: Callable[..., Study], pretend: Pretend
) -> None:
    study = make_study(seeds=[0, 1], tune_seeds=[7, 8], tune=TUNE)
    assert judged_runs(study) == []  # nothing is searched yet
    pretend(study, result, [*search_runs(study), *method_runs(study)])
    judged = judged_runs(study)
    assert {(run.seed, run.tuned) for run in judged} == {(0, "lr=2"), (1, "lr=2")}
    assert all_runs(study)[-len(judged) :] == judged
    rows = collect(study)
    assert {row.seed for row in rows if row.chosen} == {0, 1}
    assert {row.seed for row in rows if not row.chosen} == {7, 8}
    assert not [row for row in rows if row.seed > 1 and any("test" in name for name in row.values)]


def test_without_seeds_of_its_own_every_setting_runs_with_all(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(seeds=[0, 1], tune=TUNE)
    assert judged_runs(study) == method_runs(study)
    assert len(judged_runs(study)) == 2 * 2 * len(study.methods)
