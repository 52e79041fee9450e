"""A parameter of a sweep file: a constant, a choice of values, or a range of numbers."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fdkd_lightning.ops.checks import check_choice
from fdkd_lightning.ops.near_names import did_you_mean

KEYS = {
    "constant": {"value"},
    "categorical": {"values"},
    "int_uniform": {"min", "max"},
    "uniform": {"min", "max"},
    "q_uniform": {"min", "max", "q"},
    "log_uniform": {"min", "max"},
    "log_uniform_values": {"min", "max"},
    "q_log_uniform_values": {"min", "max", "q"},
}
"""Distribution -> its keys, named as by W&B."""
INSTEAD = "choose one of these, or run the sweep on W&B's service (wandb sweep FILE)"


@dataclass(frozen=True)
class Parameter:
    """A parameter and its distribution.

    Args:
        path: Keys down to the parameter; more than one if it is nested in others.
        distribution: One of :data:`KEYS`.
        values: Of a constant or a choice: text of a value -> value, without repetitions.
        low: Lower bound of a range; that of the exponent for ``log_uniform``.
        high: Upper bound, included.
        q: Sampled numbers are rounded to multiples of it; None: they are not.
    """

    path: tuple[str, ...]
    distribution: str
    values: Mapping[str, Any]
    low: float = 0
    high: float = 0
    q: float | None = None

    @property
    def name(self) -> str:
        """The keys, joined by dots."""
        return ".".join(self.path)

    def grid(self) -> dict[str, Any]:
        """Return text -> value of each value in a grid.

        Raises:
            ValueError: If the parameter has no finite list of values.
        """
        if self.distribution == "int_uniform":
            return _by_text(list(range(int(self.low), int(self.high) + 1)))
        if self.distribution == "q_uniform":
            # As W&B lists it: without the upper bound.
            return _by_text(np.arange(self.low, self.high, self.q).tolist())
        if not self.values:
            raise ValueError(
                f"parameters.{self.name} has distribution={self.distribution!r}, which has no "
                "grid: give values, or method: random or bayes"
            )
        return dict(self.values)

    def suggest(self, trial: Any) -> Any:
        """Return the value that an Optuna trial has or is given."""
        if self.distribution == "constant":
            return next(iter(self.values.values()))
        if self.values:
            return self.values[trial.suggest_categorical(self.name, list(self.values))]
        if self.distribution == "int_uniform":
            return trial.suggest_int(self.name, int(self.low), int(self.high))
        low, high = self.low, self.high
        if self.distribution == "log_uniform":
            low, high = math.exp(low), math.exp(high)
        value = trial.suggest_float(self.name, low, high, log="log" in self.distribution)
        if self.q is None:
            return value
        # As W&B rounds: a step of Optuna's would begin at the lower bound.
        return round(value / self.q) * self.q


def read_parameters(entries: Any, path: tuple[str, ...] = ()) -> list[Parameter]:
    """Read the section ``parameters``, in W&B's order: sorted by name at each level.

    Example:
        >>> [one, two] = read_parameters({"lr": {"min": 0.1, "max": 1.0}, "a": {"values": [1, 2]}})
        >>> one.name, two.distribution
        ('a', 'uniform')
    """
    where = ".".join(("parameters", *path))
    if not isinstance(entries, dict) or not entries:
        raise ValueError(f"{where}={entries!r}: give a mapping, name: {{values: [...]}}")
    found: list[Parameter] = []
    for key, entry in sorted(entries.items()):
        if not isinstance(entry, dict):
            raise ValueError(
                f"{where}.{key}={entry!r} is no mapping: give value, values, or min and max"
            )
        if "parameters" in entry and len(entry) == 1:
            found += read_parameters(entry["parameters"], (*path, key))
        else:
            found.append(_read_parameter((*path, str(key)), entry))
    names = [parameter.name for parameter in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"parameters.{name} is given twice, nested and dotted: remove one")
    return found


def _read_parameter(path: tuple[str, ...], entry: dict[str, Any]) -> Parameter:
    name = ".".join(("parameters", *path))
    distribution = entry.get("distribution") or _implied(name, entry)
    if distribution not in KEYS:
        raise ValueError(
            f"{name}.distribution={distribution!r} does not run locally ({', '.join(KEYS)}): "
            f"{INSTEAD}"
        )
    keys = KEYS[distribution]
    for key in entry.keys() - keys - {"distribution"}:
        meant = did_you_mean(key, keys) or INSTEAD
        raise ValueError(
            f"{name}.{key} is not a key of {distribution} ({', '.join(keys)}): {meant}"
        )
    for key in sorted(keys - entry.keys() - {"q"}):
        raise ValueError(f"{name} ({distribution}) lacks {key}: add it")
    if distribution == "constant":
        return Parameter(path, distribution, _by_text([entry["value"]]))
    if distribution == "categorical":
        values = entry["values"]
        if not isinstance(values, list) or not values:
            raise ValueError(f"{name}.values={values!r}: give a list of at least one value")
        return Parameter(path, distribution, _by_text(values))
    whole = distribution == "int_uniform"
    q = entry.get("q", 1.0) if "q" in keys else None
    for key, value in {"min": entry["min"], "max": entry["max"], "q": q or 1}.items():
        finite = type(value) is int or (type(value) is float and math.isfinite(value))
        if not finite or (whole and type(value) is not int):
            kind = "a whole number" if whole else "a finite number (1.0e-3, not 1e-3)"
            raise ValueError(f"{name}.{key}={value!r} must be {kind}: correct it")
    if entry["min"] > entry["max"]:
        raise ValueError(f"{name}: min={entry['min']} is above max={entry['max']}: exchange them")
    if distribution.endswith("log_uniform_values") and entry["min"] <= 0:
        raise ValueError(f"{name}.min={entry['min']} must be above 0: a logarithm is taken")
    if q is not None and q <= 0:
        raise ValueError(f"{name}.q={q} must be above 0: give the step")
    return Parameter(path, distribution, {}, entry["min"], entry["max"], q)


def _implied(name: str, entry: dict[str, Any]) -> str:
    if "values" in entry:
        if "probabilities" in entry:
            return "categorical_w_probabilities"
        return "categorical"
    if "value" in entry:
        return "constant"
    if "min" in entry and "max" in entry:
        whole = all(type(entry[key]) is int for key in ("min", "max"))
        return "int_uniform" if whole else "uniform"
    raise ValueError(f"{name}={entry!r}: give value, values, or min and max")


def _by_text(values: list[Any]) -> dict[str, Any]:
    """Map each value's text to the value: Optuna stores texts, and W&B takes 1 and 1.0 as one."""

    def text(value: Any) -> str:
        whole = isinstance(value, float) and value.is_integer()
        return json.dumps(int(value) if whole else value, sort_keys=True, default=str)

    return {text(value): value for value in values}


def check_method(method: Any) -> None:
    """Raise unless the method of a sweep runs locally."""
    check_choice("method", method, ("grid", "random", "bayes"))
