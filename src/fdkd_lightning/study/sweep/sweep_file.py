"""Read the file of a Weights & Biases sweep."""

import hashlib
import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fdkd_lightning.files.read_file import read_text
from fdkd_lightning.ops.near_names import did_you_mean
from fdkd_lightning.study.sweep.early_stop import EarlyStop, read_early_stop
from fdkd_lightning.study.sweep.parameter import Parameter, check_method, read_parameters

RUNS = ("program", "command", "method", "metric", "parameters", "early_terminate")
"""Keys that decide what the trials are; a sweep whose file changes in them is another sweep."""
KEYS = (*RUNS, "run_cap", "name", "description", "project", "entity", "apiVersion", "kind")
ON_THE_SERVICE = "remove it, or run the sweep on W&B's service (wandb sweep FILE)"


@dataclass(frozen=True)
class Sweep:
    """The contents of a sweep file.

    Args:
        name: Its name, by default the file's.
        content: The file as it is.
        method: ``grid``, ``random`` or ``bayes``.
        metric: Name of the validation metric.
        maximize: Whether higher is better.
        parameters: The parameters, in W&B's order.
        early_stop: The rule that stops trials, or None.
        run_cap: Largest number of trials, or None.
    """

    name: str
    content: dict[str, Any]
    method: str
    metric: str
    maximize: bool
    parameters: list[Parameter]
    early_stop: EarlyStop | None
    run_cap: int | None

    @property
    def digest(self) -> str:
        """Hash of what decides on the trials."""
        runs = {key: self.content.get(key) for key in RUNS}
        return hashlib.sha256(json.dumps(runs, sort_keys=True, default=str).encode()).hexdigest()

    def grid(self) -> list[dict[str, str]]:
        """Return the trials of a grid in W&B's order: name -> text of the value."""
        free = [p for p in self.parameters if p.distribution != "constant"]
        lists = [list(parameter.grid()) for parameter in free]
        names = [parameter.name for parameter in free]
        points = [dict(zip(names, p, strict=True)) for p in itertools.product(*lists)]
        return points[: self.run_cap]


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ValueError: If it does not.
        OSError: If it cannot be read.
    """
    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise ValueError(
            f"{path} is no YAML: {' '.join(str(error).split())}: correct it"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a mapping: configs/sweep.yaml is an example")
    return content


def read_sweep_file(path: Path) -> Sweep:
    """Read and check a sweep's file.

    Raises:
        ValueError: If it is no sweep, or has what cannot run locally; the message names the key.
        OSError: If it cannot be read.
    """
    content = read_yaml(path)
    for key in content:
        if key not in KEYS:
            meant = did_you_mean(str(key), KEYS) or ON_THE_SERVICE
            raise ValueError(f"{path}: {key!r} is not a key that runs locally: {meant}")
    for key in ("method", "metric", "parameters"):
        if key not in content:
            raise ValueError(f"{path} lacks {key!r}: add it, as in configs/sweep.yaml")
    check_method(content["method"])
    name, maximize = _read_metric(content["metric"])
    cap = content.get("run_cap")
    if cap is not None and (type(cap) is not int or cap < 1):
        raise ValueError(f"run_cap={cap!r} must be a whole number of at least 1: correct it")
    parameters = read_parameters(content["parameters"])
    method = content["method"]
    if method == "grid":
        parameters = [_on_grid(parameter) for parameter in parameters]
    early = content.get("early_terminate")
    return Sweep(
        name=str(content.get("name") or path.stem),
        content=content,
        method=method,
        metric=name,
        maximize=maximize,
        parameters=parameters,
        early_stop=None if early is None else read_early_stop(early),
        run_cap=cap,
    )


def _on_grid(parameter: Parameter) -> Parameter:
    if parameter.distribution == "constant":
        return parameter
    values = parameter.grid()
    if not values:
        raise ValueError(f"parameters.{parameter.name} has an empty grid: set max above min")
    return Parameter(parameter.path, "categorical", values)


def _read_metric(metric: Any) -> tuple[str, bool]:
    if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
        raise ValueError(f"metric={metric!r}: give {{name: val/accuracy, goal: maximize}}")
    for key in metric.keys() - {"name", "goal"}:
        raise ValueError(f"metric.{key} does not run locally: {ON_THE_SERVICE}")
    goal = metric.get("goal", "minimize")  # W&B's default
    if goal not in ("minimize", "maximize"):
        raise ValueError(f"metric.goal={goal!r}: give minimize or maximize")
    name = metric["name"]
    if not name.startswith("val"):
        raise ValueError(
            f"metric.name={name!r} is no validation metric, and a sweep chooses by validation "
            "alone: give one that begins with val, such as val/accuracy"
        )
    return name, goal == "maximize"


def number_of_trials(sweep: Sweep) -> float:
    """Return how many trials a sweep has; infinity if it has no end."""
    if sweep.method == "grid":
        return len(sweep.grid())
    return math.inf if sweep.run_cap is None else sweep.run_cap
