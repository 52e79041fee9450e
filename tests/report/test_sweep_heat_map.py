import itertools
from statistics import mean

import pytest

from fdkd_lightning.report.sweep_heat_map import heat_maps
from fdkd_lightning.study.sweep.sweep_results import SweepResults, Trial


def results(rows: list[tuple[dict[str, object], float]], **importance: float) -> SweepResults:
    trials = [Trial(str(i), "finished", *row) for i, row in enumerate(rows)]
    return SweepResults("s", "grid", "val/accuracy", True, trials, importance)


def test_a_cell_is_the_mean_over_the_other_parameters() -> None:
    rows: list[tuple[dict[str, object], float]] = [
        ({"t": t, "a": a, "b": b}, t + 10 * a + 100 * b)
        for t, a, b in itertools.product((0.5, 0.25), (1, 2), (3, 5))
    ]
    maps = {(each.y, each.x): each for each in heat_maps(results(rows))}
    assert list(maps) == [("t", "a"), ("t", "b"), ("a", "b")]
    assert maps["t", "a"].cells[2, 0.25] == (pytest.approx(0.25 + 20 + 400), 2)
    assert (maps["t", "a"].values(0), maps["t", "a"].values(1)) == ([1, 2], [0.25, 0.5])


def test_stopped_trials_and_single_valued_parameters_are_left_out() -> None:
    found = results([({"a": 1, "b": 2, "c": 3}, 0.1), ({"a": 2, "b": 3, "c": 3}, 0.2)])
    found.trials.append(Trial("x", "stopped", {"a": 9, "b": 9, "c": 9}, 0.9))
    [only] = heat_maps(found)
    assert only.cells == {(2, 1): (0.1, 1), (3, 2): (0.2, 1)}
    assert heat_maps(results([])) == []


def test_the_most_important_parameters_are_drawn() -> None:
    rows: list[tuple[dict[str, object], float]] = [
        (dict.fromkeys("abcd", i), float(i)) for i in range(3)
    ]
    maps = heat_maps(results(rows, a=0.1, b=0.3, c=0.2, d=0.4))
    assert [each.y + each.x for each in maps] == ["bc", "bd", "cd"]


def test_many_numbers_become_six_bins_of_equally_many_trials() -> None:
    rows: list[tuple[dict[str, object], float]] = [
        ({"a": float(i), "b": i % 2}, float(i)) for i in range(24)
    ]
    [only] = heat_maps(results(rows))
    assert only.values(1) == [mean(range(start, start + 4)) for start in range(0, 24, 4)]
    assert {count for _, count in only.cells.values()} == {2}


def test_lists_and_texts_are_named_by_their_text() -> None:
    found = results([({"a": [1, 2], "b": "x"}, 0.1), ({"a": [3], "b": "y"}, 0.2)])
    [only] = heat_maps(found)
    assert only.values(1) == ["[1, 2]", "[3]"]
