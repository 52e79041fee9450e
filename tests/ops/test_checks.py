import math

import pytest

from fdkd_lightning.ops.checks import (
    check_choice,
    check_count,
    check_flags,
    check_optional_weights,
    check_range,
    check_weights,
    refuse_renamed_methods,
)


@pytest.mark.parametrize(
    "bounds", [{"low": 0}, {"high": 1}, {"above": 0}, {"below": 1}, {"low": 0, "high": 1}, {}]
)
def test_nan_is_within_no_bounds(bounds: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="x=nan must be"):
        check_range("x", math.nan, **bounds)


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (0, {"low": 1}, "x=0 must be at least 1"),
        (2, {"high": 1}, "x=2 must be at most 1"),
        (2, {"low": 0, "high": 1}, "x=2 must be from 0 to 1"),
        (0, {"above": 0}, "x=0 must be above 0"),
        (1, {"above": 0, "below": 1}, "x=1 must be above 0 and below 1"),
        (0, {"above": 0, "example": 4}, "x=0 must be above 0, for example 4"),
    ],
)
def test_a_number_outside_is_named_with_its_bounds(
    value: float, bounds: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_range("x", value, **bounds)


def test_closed_bounds_are_allowed_and_open_ones_are_not() -> None:
    check_range("x", 0, 0, 1)
    check_range("x", 1, 0, 1)
    check_range("x", 0.5, above=0, below=1)


def test_an_unknown_choice_is_named_with_all_choices() -> None:
    check_choice("x", "a", ("a", "b"))
    with pytest.raises(ValueError, match="x='d' is unknown: choose 'a', 'b' or 'c'"):
        check_choice("x", "d", ("a", "b", "c"))
    with pytest.raises(ValueError, match="x=1 is unknown: choose 0"):
        check_choice("x", 1, (0,))


def test_a_method_under_its_earlier_name_is_refused_with_the_new_one() -> None:
    class Loss:
        def record(self) -> None: ...

    class Child(Loss): ...

    with pytest.raises(TypeError, match=r"Loss\.record is now called logged_values"):
        refuse_renamed_methods(Loss, {"record": "logged_values"})
    refuse_renamed_methods(Child, {"record": "logged_values"})  # it defines nothing itself


@pytest.mark.parametrize("value", [True, "1", None, [1]])
def test_what_is_no_number_is_named(value: object) -> None:
    for check in (check_range, check_count):
        with pytest.raises(TypeError, match=r"^x=.* must be a (whole )?number$"):
            check("x", value)


def test_an_infinite_number_is_in_no_range() -> None:
    with pytest.raises(ValueError, match="x=inf must be above 0 and finite, for example 4"):
        check_range("x", math.inf, above=0, example=4)


@pytest.mark.parametrize("value", [2.5, 2.0])
def test_a_count_is_a_whole_number(value: float) -> None:
    check_count("x", 2)
    with pytest.raises(TypeError, match=f"x={value} must be a whole number, for example 3"):
        check_count("x", value, example=3)
    with pytest.raises(ValueError, match="x=0 must be at least 1"):
        check_count("x", 0)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_weight_is_not_negative(value: float) -> None:
    check_weights(a=0.0, b=2)
    check_optional_weights(a=None)
    for check in (check_weights, check_optional_weights):
        with pytest.raises(ValueError, match=f"b={value} must be at least 0"):
            check(a=1.0, b=value)


@pytest.mark.parametrize("value", [0, 1, "no", None])
def test_a_flag_is_true_or_false(value: object) -> None:
    check_flags(a=True)
    with pytest.raises(TypeError, match=r"a=.* must be True or False"):
        check_flags(a=value)


def test_true_is_not_one_among_choices() -> None:
    with pytest.raises(ValueError, match="x=True is unknown: choose 1"):
        check_choice("x", True, (1,))
