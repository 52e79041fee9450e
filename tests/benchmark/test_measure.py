from collections.abc import Iterator

import pytest

from fdkd_lightning.benchmark.measure import Limits, interleave, measure, timing_of


def test_functions_take_turns_after_one_untimed_call() -> None:
    calls: list[str] = []
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    measure(functions, Limits(repeats=3))
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"


def test_the_timings_are_those_of_the_clock() -> None:
    def ticks() -> Iterator[float]:
        now = 0.0
        yield now  # of the untimed call
        yield now
        yield now  # the start
        for duration in (3.0, 1.0, 2.0, 5.0, 4.0):
            yield now
            now += duration
            yield now
        yield now  # the end

    (timing,) = measure({"a": int}, Limits(repeats=5), ticks().__next__).values()
    assert timing == (3.0, 1.0, (2.0, 4.0), (3.0, 1.0, 2.0, 5.0, 4.0))


def test_repeats_go_on_until_the_time_is_over() -> None:
    now = iter(range(100))
    [timing] = interleave(
        {"a": lambda: 1.0}, Limits(2, seconds=7), lambda: float(next(now))
    ).values()
    assert len(timing.seconds) == 2 + 6


def test_a_ratio_is_the_median_of_those_of_the_rounds() -> None:
    slow, fast = timing_of([2.0, 40.0, 6.0]), timing_of([1.0, 10.0, 3.0])
    assert slow.over(fast) == 2.0
    assert timing_of([2.0, 4.0, 30.0]).over(timing_of([1.0, 4.0, 10.0])) == 2.0


@pytest.mark.parametrize("limits", [Limits(1), Limits(seconds=-1), Limits(repeats=2.5)])  # type: ignore[arg-type]  # wrong on purpose
def test_wrong_limits_are_refused(limits: Limits) -> None:
    with pytest.raises((ValueError, TypeError), match=r"repeats=|seconds="):
        measure({}, limits)
