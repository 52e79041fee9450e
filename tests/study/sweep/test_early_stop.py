from typing import Any

import pytest

from fdkd_lightning.study.sweep.early_stop import EarlyStop, read_early_stop

# The example of the package `sweeps` (hyperband_stop_runs), whose rule W&B runs: bands 1 and 2.
HISTORIES = {"a": [10, 9], "b": [10, 10], "c": [10, 8, 8], "d": [10, 7, 7], "e": [10, 6, 6]}
RULE = {"type": "hyperband", "max_iter": 5, "eta": 2, "s": 2}


def stopped(rule: EarlyStop, maximize: bool = False) -> list[str]:
    sign = -1 if maximize else 1
    histories = {name: [sign * x for x in values] for name, values in HISTORIES.items()}
    every = list(histories.values())
    return [name for name, own in histories.items() if rule.stops(own, every, maximize)]


@pytest.mark.parametrize("maximize", [False, True])
def test_the_example_of_sweeps_ends_as_it_does_there(maximize: bool) -> None:
    rule = read_early_stop(RULE)
    assert rule.bands == (1, 2)
    # At band 2 the values are 6 to 10, of which the third best, 8, is still good enough.
    assert stopped(rule, maximize) == ["a", "b"]


def test_unless_strict_the_best_value_counts() -> None:
    histories = [[1.0, 9.0], [2.0, 3.0], [2.0, 4.0]]
    assert EarlyStop((2,), 2).stops(histories[0], histories, maximize=False)
    assert not EarlyStop((2,), 2, strict=False).stops(histories[0], histories, maximize=False)


def test_the_first_trial_and_one_before_the_first_band_go_on() -> None:
    rule = EarlyStop((2, 4), 3)
    assert not rule.stops([0.1, 0.1], [[0.1, 0.1]], maximize=True)
    assert not rule.stops([0.1], [[0.1], [0.9, 0.9]], maximize=True)


def test_bands_grow_from_min_iter_and_shrink_from_max_iter() -> None:
    assert read_early_stop({"type": "hyperband", "min_iter": 5}).bands[:3] == (5, 15, 45)
    assert read_early_stop({"type": "hyperband", "max_iter": 27, "s": 2}).bands == (3, 9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "median"}, "give {type: hyperband"),
        ({"etta": 3}, "early_terminate.etta is not a key"),
        ({"eta": 1}, "early_terminate.eta=1 must be a number above 1"),
        ({"strict": 1}, "early_terminate.strict=1 must be true or false"),
        ({"max_iter": 0}, "early_terminate.max_iter=0 must be a whole number"),
        ({"s": None}, "early_terminate.s=None must be a whole number"),
        ({"max_iter": 1}, "compares at no validation"),
    ],
)
def test_bad_rules_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_early_stop(RULE | changes)
