import math

from fdkd_lightning.report.difference_figure import difference_axis, strips
from fdkd_lightning.report.differences import DifferenceRow


def row(mean: float, low: float, high: float, n: int = 2) -> DifferenceRow:
    return DifferenceRow("full", "a2v", "KD", "alone", "baseline", mean, low, high, n)


def test_an_interval_wider_than_fractions_can_differ_is_cut_and_marked() -> None:
    rows = [row(10, -240, 260), row(-5, -8, -2)]
    axis = difference_axis(rows)
    assert (axis.low, axis.high) == (-100, 100)
    wide, narrow = strips(rows, axis)
    assert wide.ends == (0, 100)
    assert wide.beyond == (True, True)
    # The words are not cut.
    assert wide.text == "+10.0 [-240.0, +260.0]"
    assert narrow.ends == (46, 49)
    assert narrow.beyond == (False, False)


def test_without_an_interval_or_a_mean_nothing_is_drawn() -> None:
    one, failed = strips(
        [row(10, math.nan, math.nan, 1), row(*[math.nan] * 3, 0)], difference_axis([])
    )
    assert (one.ends, one.text) == (None, "+10.0")
    assert (failed.mean, failed.ends, failed.text) == (None, None, "failed")


def test_zero_is_always_on_the_axis() -> None:
    assert difference_axis([row(10, 8, 12)]).low == 0
    assert difference_axis([row(-10, -12, -8)]).high == 0
