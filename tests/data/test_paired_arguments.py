from typing import Any

import pytest

from fdkd_lightning.data.paired_arguments import check_arguments

VALID: dict[str, Any] = {
    "val_fraction": 0.5,
    "split_seed": 0,
    "prepare_workers": 1,
    "min_coverage": 1.0,
}


def test_the_bounds_are_allowed() -> None:
    check_arguments(**VALID)
    check_arguments(None, 0, None, min_coverage=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("val_fraction", 0.0),
        ("val_fraction", 1.0),
        ("split_seed", -1),
        ("prepare_workers", -1),
        ("min_coverage", 1.01),
        ("min_coverage", float("nan")),
    ],
)
def test_a_number_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name}={value} must be"):
        check_arguments(**VALID | {name: value})


def test_an_unknown_comparison_is_named() -> None:
    with pytest.raises(ValueError, match="compare='hash' is unknown: choose 'time' or 'content'"):
        check_arguments(**VALID | {"compare": "hash"})


@pytest.mark.parametrize("name", ["split_seed", "prepare_workers"])
def test_a_count_is_a_whole_number(name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name}=2.5 must be a whole number"):
        check_arguments(**VALID | {name: 2.5})
