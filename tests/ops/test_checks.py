import math

import pytest

from fdkd_lightning.ops.checks import check_choice, check_range, refuse_renamed_methods


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
