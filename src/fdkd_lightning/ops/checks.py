"""Checks of arguments: numbers within a range, counts, flags, choices, current names."""

import math
from collections.abc import Collection, Mapping
from numbers import Integral, Real
from typing import Any


def check_range(
    name: str,
    value: float,
    low: float | None = None,
    high: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    example: float | None = None,
) -> None:
    """Raise unless the value is a finite number within its bounds.

    Args:
        name: Name of the argument, for the error.
        value: The value.
        low: Smallest allowed value; None for no such bound, here and below.
        high: Largest allowed value.
        above: The value must be greater than this.
        below: The value must be less than this.
        example: A common value, for the error to suggest.

    Raises:
        TypeError: If the value is no number; True and False are none.
        ValueError: If the value is out of bounds, infinite or NaN.

    Example:
        >>> check_range("temperature", 4.0, above=0)
        >>> check_range("temperature", float("nan"), above=0, example=4)
        Traceback (most recent call last):
        ValueError: temperature=nan must be above 0, for example 4
    """
    advice = "" if example is None else f", for example {example}"
    # bool is a subclass of int, and True would silently count as 1.
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}={value!r} must be a number{advice}")
    bounds = []
    fits = math.isfinite(value)
    if low is not None and high is not None:
        fits = fits and low <= value <= high
        bounds.append(f"from {low} to {high}")
    elif low is not None:
        fits = fits and value >= low
        bounds.append(f"at least {low}")
    elif high is not None:
        fits = fits and value <= high
        bounds.append(f"at most {high}")
    if above is not None:
        fits = fits and value > above
        bounds.append(f"above {above}")
    if below is not None:
        fits = fits and value < below
        bounds.append(f"below {below}")
    if not fits:
        if math.isinf(value):
            bounds.append("finite")
        allowed = " and ".join(bounds) or "a number"
        raise ValueError(f"{name}={value} must be {allowed}{advice}")


def check_count(
    name: str,
    value: int,
    low: int | None = 1,
    high: int | None = None,
    *,
    example: int | None = None,
) -> None:
    """Raise unless the value is a whole number within its bounds.

    Args:
        name: Name of the argument, for the error.
        value: The value.
        low: Smallest allowed value; None for no such bound, here and below.
        high: Largest allowed value.
        example: A common value, for the error to suggest.

    Raises:
        TypeError: If the value is no whole number, such as 2.5, 2.0 or True.
        ValueError: If the value is out of bounds.

    Example:
        >>> check_count("levels", 3)
        >>> check_count("levels", 2.5, example=3)
        Traceback (most recent call last):
        TypeError: levels=2.5 must be a whole number, for example 3
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        advice = "" if example is None else f", for example {example}"
        raise TypeError(f"{name}={value!r} must be a whole number{advice}")
    check_range(name, value, low, high, example=example)


def check_weights(**values: float) -> None:
    """Raise unless each value can weight a term: a finite number of at least 0.

    Example:
        >>> check_weights(alpha=1.0, beta=-8.0)
        Traceback (most recent call last):
        ValueError: beta=-8.0 must be at least 0, for example 1
    """
    for name, value in values.items():
        check_range(name, value, 0, example=1)


def check_optional_weights(**values: float | None) -> None:
    """Raise unless each value is None or a weight as of :func:`check_weights`."""
    check_weights(**{name: value for name, value in values.items() if value is not None})


def check_flags(**values: bool) -> None:
    """Raise unless each value is True or False; any other value would count as one of them.

    Example:
        >>> check_flags(keep_dc=True)
        >>> check_flags(keep_dc="no")
        Traceback (most recent call last):
        TypeError: keep_dc='no' must be True or False
    """
    for name, value in values.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name}={value!r} must be True or False")


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise unless the value is one of the choices.

    Example:
        >>> check_choice("reduction", "median", ("mean", "sum"))
        Traceback (most recent call last):
        ValueError: reduction='median' is unknown: choose 'mean' or 'sum'
    """
    # Types first: True equals 1, and a tensor equals nothing as a whole.
    if not any(
        isinstance(value, type(c)) and isinstance(value, bool) == isinstance(c, bool) and value == c
        for c in choices
    ):
        *others, last = map(repr, choices)
        listed = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name}={value!r} is unknown: choose {listed}")


def refuse_renamed_methods(cls: type, renamed: Mapping[str, str]) -> None:
    """Raise if a class defines a method under the name it had in an earlier version.

    Nothing calls the earlier name any more, so the override would silently have no effect. Base
    classes call this function in ``__init_subclass__``.
    """
    for old, new in renamed.items():
        if old in vars(cls):
            raise TypeError(f"{cls.__name__}.{old} is now called {new}: rename the method")
