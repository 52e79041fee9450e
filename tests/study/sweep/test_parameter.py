import math
from typing import Any

import pytest
from optuna.trial import FixedTrial

from fdkd_lightning.study.sweep.parameter import check_method, read_parameters


def grid(**entry: Any) -> list[Any]:
    [parameter] = read_parameters({"x": entry})
    return list(parameter.grid().values())


def suggest(value: float, **entry: Any) -> Any:
    [parameter] = read_parameters({"x": entry})
    return parameter.suggest(FixedTrial({"x": value}))


def test_the_order_is_by_name_at_each_level_and_names_are_joined() -> None:
    entries = {"z": {"value": 1}, "a": {"parameters": {"c": {"value": 2}, "b": {"values": [3]}}}}
    assert [(p.name, p.path) for p in read_parameters(entries)] == [
        ("a.b", ("a", "b")),
        ("a.c", ("a", "c")),
        ("z", ("z",)),
    ]


def test_a_grid_is_as_wandb_lists_it() -> None:
    # W&B takes 1 and 1.0 as one value, but not 1 and true; q_uniform ends below its maximum.
    assert grid(values=[1, 1.0, True, None, "a", [1, 2], {"k": 2}]) == [
        *(1.0, True, None, "a", [1, 2], {"k": 2})
    ]
    assert grid(min=1, max=3) == [1, 2, 3]
    assert grid(distribution="q_uniform", min=0.0, max=1.0, q=0.25) == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("entry", "distribution"),
    [
        ({"value": 1}, "constant"),
        ({"values": [1]}, "categorical"),
        ({"min": 1, "max": 2}, "int_uniform"),
        ({"min": 1, "max": 2.0}, "uniform"),
    ],
)
def test_the_distribution_follows_from_the_keys(entry: dict[str, Any], distribution: str) -> None:
    assert read_parameters({"x": entry})[0].distribution == distribution


def test_numbers_are_rounded_to_multiples_of_q_as_wandb_does() -> None:
    assert suggest(0.88, distribution="q_uniform", min=0.1, max=1.0, q=0.25) == 1.0
    found = suggest(7.4, distribution="q_log_uniform_values", min=1, max=100, q=5)
    assert (found, type(found)) == (5, int)
    assert suggest(0.3, distribution="log_uniform_values", min=0.1, max=1.0) == 0.3


def test_the_bounds_of_log_uniform_are_exponents() -> None:
    class Trial:
        def suggest_float(self, name: str, low: float, high: float, log: bool) -> float:
            assert (name, high, log) == ("x", math.e, True)
            return low

    [parameter] = read_parameters({"x": {"distribution": "log_uniform", "min": -1, "max": 1}})
    assert parameter.suggest(Trial()) == math.exp(-1)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"distribution": "beta", "a": 1}, r"distribution='beta' does not run locally .*wandb sw"),
        ({"values": [1], "probabilities": [1]}, "'categorical_w_probabilities' does not run"),
        ({"distribution": "inv_log_uniform_values", "min": 1, "max": 2}, "does not run locally"),
        ({"values": []}, r"parameters.x.values=\[\]: give a list"),
        ({"values": 3}, "parameters.x.values=3: give a list"),
        ({"valeus": [1]}, "give value, values, or min and max"),
        ({"min": 1, "max": 2, "maxx": 3}, "x.maxx is not a key of int_uniform .*did you mean max"),
        ({"min": "1e-3", "max": 2.0}, "x.min='1e-3' must be a finite number"),
        ({"min": 0.0, "max": float("inf")}, "x.max=inf must be a finite number"),
        ({"min": 3, "max": 1}, "min=3 is above max=1: exchange"),
        ({"distribution": "log_uniform_values", "min": 0, "max": 1}, "min=0 must be above 0"),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0}, "q=0 must be above 0"),
        ({"distribution": "int_uniform", "min": 0.5, "max": 1}, "min=0.5 must be a whole number"),
        ({"distribution": "uniform", "min": 0.5}, r"x \(uniform\) lacks max: add it"),
        (3, "x=3 is no mapping"),
    ],
)
def test_what_does_not_run_is_refused_by_name(entry: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_parameters({"x": entry})


def test_a_name_that_is_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"parameters\.a\.b is given twice, nested and dotted"):
        read_parameters({"a.b": {"value": 1}, "a": {"parameters": {"b": {"value": 2}}}})


def test_a_range_of_real_numbers_has_no_grid() -> None:
    with pytest.raises(ValueError, match=r"parameters\.x has distribution='uniform', which has"):
        grid(min=0.0, max=1.0)


def test_the_methods_are_wandbs() -> None:
    check_method("bayes")
    with pytest.raises(ValueError, match="method='custom'"):
        check_method("custom")
