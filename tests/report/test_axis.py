import math

import pytest

from fdkd_lightning.report.axis import make_axis


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0, 3], (0.0, 1.0, 2.0, 3.0)),
        ([-16.3, 22.2], (-20.0, -10.0, 0.0, 10.0, 20.0, 30.0)),
        ([0.1, 0.3], (0.1, 0.15, 0.2, 0.25, 0.3)),
        ([5, 5], (4.0, 6.0)),
        ([math.nan], (0.0, 0.5, 1.0)),
    ],
)
def test_ticks_are_round_and_hold_the_values(values: list[float], ticks: tuple[float, ...]) -> None:
    axis = make_axis(values)
    known = [value for value in values if not math.isnan(value)]
    assert all(axis.low <= value <= axis.high for value in known)
    assert (axis.low, axis.high) == (axis.ticks[0], axis.ticks[-1])
    assert axis.ticks == ticks
