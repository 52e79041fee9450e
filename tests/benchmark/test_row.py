import pytest

from fdkd_lightning.benchmark.measure import Timing
from fdkd_lightning.benchmark.row import timed_rows, value_row


def test_a_ratio_is_this_one_s_to_the_other_s() -> None:
    timings = {
        name: Timing(x, x / 2, (x, 2 * x), (x,) * 5) for name, x in (("slow", 4.0), ("fast", 1.0))
    }
    slow, fast = timed_rows("loss", "8x8", timings, {"fast": "slow"})
    assert (slow.compared_with, slow.ratio) == ("", None)
    assert (fast.compared_with, fast.ratio) == ("slow", 0.25)
    assert fast[4:9] == (1.0, 0.5, 1.0, 2.0, 5)


def test_a_value_has_no_spread() -> None:
    first = value_row("memory", "small", "a", "bytes", 100)
    assert first.quartile_1 == first.quartile_3 == 100
    assert value_row("memory", "small", "b", "bytes", 150, first).ratio == pytest.approx(1.5)
