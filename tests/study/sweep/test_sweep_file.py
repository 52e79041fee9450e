import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fdkd_lightning.study.sweep.sweep_file import (
    Sweep,
    number_of_trials,
    read_sweep_file,
    read_yaml,
)

SWEEP = Path(__file__).parents[3] / "configs/sweep.yaml"


def test_the_grid_of_the_shipped_file_is_in_wandbs_order() -> None:
    """The list of ``sweeps`` 0.3: parameters by name, the last one fastest (nox -s sweep)."""
    sweep = read_sweep_file(SWEEP)
    names = [parameter.name.rpartition(".")[2] for parameter in sweep.parameters]
    assert names == ["threshold", "lambda_high", "lambda_low"]
    thresholds, lambdas = ["0.25", "0.3333333333", "0.5"], ["0.1", "1", "10"]
    assert [tuple(point.values()) for point in sweep.grid()] == [
        *itertools.product(thresholds, lambdas, lambdas)
    ]
    assert (sweep.metric, sweep.maximize, number_of_trials(sweep)) == ("val/accuracy", True, 27)


def test_run_cap_ends_a_grid_and_a_search(make_sweep: Callable[..., Sweep]) -> None:
    assert len(make_sweep(run_cap=1).grid()) == 1
    assert number_of_trials(make_sweep(method="random", run_cap=7)) == 7
    assert number_of_trials(make_sweep(method="bayes")) == math.inf


def test_the_goal_is_wandbs_default_unless_given(make_sweep: Callable[..., Sweep]) -> None:
    assert not make_sweep(metric={"name": "val/loss"}).maximize


def test_the_digest_is_of_what_the_trials_are(make_sweep: Callable[..., Sweep]) -> None:
    first = make_sweep().digest
    assert make_sweep(run_cap=1, description="more").digest == first
    assert make_sweep(metric={"name": "val/loss"}).digest != first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduler": {"engine": "ax"}}, "'scheduler' is not a key that runs locally: remove it"),
        ({"metod": "grid"}, "'metod' is not a key that runs locally: did you mean method"),
        ({"metric": None}, "lacks 'metric'"),
        ({"metric": {"name": "val/loss", "target": 1}}, "metric.target does not run locally"),
        ({"metric": {"name": "val/loss", "goal": "max"}}, "metric.goal='max': give minimize or m"),
        ({"metric": {"name": "test/accuracy"}}, "metric.name='test/accuracy' is no validation"),
        ({"run_cap": 0}, "run_cap=0 must be a whole number"),
        ({"run_cap": True}, "run_cap=True must be a whole number"),
        ({"method": "hyperband"}, "method='hyperband'"),
        ({"parameters": {}}, r"parameters=\{\}: give a mapping"),
        ({"parameters": {"x": {"min": 0.0, "max": 1.0}}}, "which has no grid"),
        ({"early_terminate": {"type": "median"}}, "early_terminate="),
    ],
)
def test_what_does_not_run_is_refused_by_name(
    make_sweep: Callable[..., Sweep], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_sweep(**changes)


@pytest.mark.parametrize(("text", "message"), [("a: [", "is no YAML"), ("- a", "must hold a map")])
def test_a_file_that_is_no_mapping_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"bad.yaml {message}"):
        read_yaml(path)
