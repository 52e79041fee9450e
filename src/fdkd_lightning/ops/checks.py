"""Checks of arguments: a number within a range, one of several choices, a current name."""

from collections.abc import Collection, Mapping
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
    """Raise unless a number lies within its bounds; NaN never does.

    Args:
        name: Name of the argument, for the error.
        value: The value.
        low: Smallest allowed value; None for no such bound, here and below.
        high: Largest allowed value.
        above: The value must be greater than this.
        below: The value must be less than this.
        example: A common value, for the error to suggest.

    Raises:
        ValueError: If the value is out of bounds or NaN.

    Example:
        >>> check_range("temperature", 4.0, above=0)
        >>> check_range("temperature", float("nan"), above=0, example=4)
        Traceback (most recent call last):
        ValueError: temperature=nan must be above 0, for example 4
    """
    bounds = []
    # Each comparison is false for NaN.
    fits = value == value
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
        advice = "" if example is None else f", for example {example}"
        allowed = " and ".join(bounds) or "a number"
        raise ValueError(f"{name}={value} must be {allowed}{advice}")


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise unless the value is one of the choices.

    Args:
        name: Name of the argument, for the error.
        value: The value.
        choices: The allowed values, such as ``get_args`` of a ``Literal``.

    Raises:
        ValueError: If the value is none of the choices.

    Example:
        >>> check_choice("reduction", "median", ("mean", "sum"))
        Traceback (most recent call last):
        ValueError: reduction='median' is unknown: choose 'mean' or 'sum'
    """
    if value not in choices:
        *others, last = map(repr, choices)
        listed = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name}={value!r} is unknown: choose {listed}")


def refuse_renamed_methods(cls: type, renamed: Mapping[str, str]) -> None:
    """Raise if a class defines a method under the name it had in an earlier version.

    Nothing calls the earlier name any more, so the override would silently have no effect. Base
    classes call this function in ``__init_subclass__``.

    Args:
        cls: The class.
        renamed: Earlier name -> current name.

    Raises:
        TypeError: If the class defines an earlier name.

    Example:
        >>> class Base:
        ...     def __init_subclass__(cls):
        ...         refuse_renamed_methods(cls, {"record": "logged_values"})
        >>> class Mine(Base):
        ...     def record(self): ...
        Traceback (most recent call last):
        TypeError: Mine.record is now called logged_values: rename the method
    """
    for old, new in renamed.items():
        if old in vars(cls):
            raise TypeError(f"{cls.__name__}.{old} is now called {new}: rename the method")
